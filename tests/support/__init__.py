"""What tests of several kinds share. Import as ``from support.programs import need_program``."""
