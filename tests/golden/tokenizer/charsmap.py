# SPDX-License-Identifier: Apache-2.0
"""Compiled normalisers as SentencePiece writes them, a double array of 32-bit units and texts. The
layout is that of darts-clone; the reader in whet says how it is read (src/nn/charsmap.c)."""
import struct

BLOCK = 256


def place_children(trie):
    """Units of a trie {byte: child} whose values are under None: first fit."""
    units, taken = {}, {0}
    waiting = [(0, trie)]
    bases = set()
    while waiting:
        index, node = waiting.pop(0)
        labels = [byte or 0 for byte in node]
        base = 0
        while base in bases or any(base ^ label in taken for label in labels):
            base += 1
        offset = index ^ base
        assert offset < 1 << 21
        bases.add(base)
        taken |= {base ^ label for label in labels}
        units[index] = units.get(index, 0) | offset << 10 | (256 if None in node else 0)
        for byte, child in node.items():
            if byte is None:
                units[base] = child | 1 << 31
            else:
                units[base ^ byte] = byte
                waiting.append((base ^ byte, child))
    size = (max(units) // BLOCK + 1) * BLOCK
    return [units.get(i, 0x80000000) for i in range(size)]


def charsmap(pairs):
    """The bytes of a charsmap {string: what replaces it}."""
    trie, texts, places = {}, b"", {}
    for key, value in sorted(pairs.items(), key=lambda pair: pair[0].encode()):
        if value not in places:
            places[value] = len(texts)
            texts += value.encode() + b"\0"
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = places[value]
    units = place_children(trie)
    return struct.pack(f"<{len(units) + 1}I", 4 * len(units), *units) + texts
