"""HPACK's Huffman code (RFC 7541, appendix B), both ways.

The code is canonical, so the lengths of the 257 codes say everything: among codes of one length the
symbols are in order, and shorter codes come first.
"""

from __future__ import annotations

_LENGTHS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c"
    "060a0a0c0d06080b0a0a080b080606060505050606060606060607080f060c0a"
    "0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c"
    "141614141616161716171717171718171818161718171717171516171617171816"
    "151416161717151716161815161717151516151716171714161616171616171a1a"
    "1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b141814"
    "15161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
)
_EOS, _EOS_BITS = 256, 30
_PADDING_BITS_MAX = 7


class HuffmanError(ValueError):
    """Bytes that are no Huffman-coded text."""


def _codes() -> list[str]:
    """The code of each symbol, in letters 0 and 1."""
    lengths = [*_LENGTHS, _EOS_BITS]
    codes = [""] * len(lengths)
    code = length = 0
    for symbol in sorted(range(len(lengths)), key=lambda s: (lengths[s], s)):
        code <<= lengths[symbol] - length
        length = lengths[symbol]
        codes[symbol] = format(code, f"0{length}b")
        code += 1
    return codes


_CODES = _codes()


def encode(text: bytes) -> bytes:
    """The text's code, filled up to whole bytes with ones."""
    bits = "".join([_CODES[byte] for byte in text])
    if not bits:
        return b""
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _tree() -> list[list[int]]:
    """Nodes as [next at 0, next at 1]: a node's number, or -1 - symbol."""
    nodes = [[0, 0]]
    for symbol, code in enumerate(_CODES):
        at = 0
        for bit in map(int, code[:-1]):
            if nodes[at][bit] == 0:
                nodes.append([0, 0])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        nodes[at][int(code[-1])] = -1 - symbol
    return nodes


def _paddings(nodes: list[list[int]]) -> frozenset[int]:
    """Nodes where a text may end: up to seven ones behind a whole symbol."""
    found, at = [0], 0
    for _ in range(_PADDING_BITS_MAX):
        at = nodes[at][1]
        found.append(at)
    return frozenset(found)


_TREE = _tree()
_ENDS = _paddings(_TREE)
# (node << 8 | byte) -> the next node and the symbols on the way; filled as texts need it, with
# 65,536 entries at most. Node -1: the end-of-string symbol, which no text may hold.
_steps: dict[int, tuple[int, bytes]] = {}


def _step(key: int) -> tuple[int, bytes]:
    at, byte = key >> 8, key & 0xFF
    symbols = bytearray()
    for shift in range(7, -1, -1):
        at = _TREE[at][byte >> shift & 1]
        if at < 0:
            symbol = -1 - at
            if symbol == _EOS:
                at = -1
                break
            symbols.append(symbol)
            at = 0
    found = _steps[key] = (at, bytes(symbols))
    return found


def decode(data: bytes) -> bytes:
    """The text. HuffmanError when there is none: a wrong padding, or the end-of-string symbol."""
    at = 0
    out = []
    steps = _steps
    for byte in data:
        key = at << 8 | byte
        at, symbols = steps.get(key) or _step(key)
        if at < 0:
            raise HuffmanError("the end-of-string symbol")
        out.append(symbols)
    if at not in _ENDS:
        raise HuffmanError("padding that is none")
    return b"".join(out)
