//! The lengths at which code that cuts files into chunks and groups goes wrong.

/// Interesting lengths of a file, each with its reason; the tests of every crate walk this list.
pub const SIZES: &[(u64, &str)] = &[
    (0, "nothing: still one group, and a hash"),
    (1, "the smallest something"),
    (1023, "one byte less than a BLAKE3 chunk"),
    (1024, "a BLAKE3 chunk"),
    (1025, "two chunks, the second of one byte"),
    (16_383, "one byte less than a group"),
    (16_384, "a group: no parents, an empty outboard"),
    (16_385, "two groups, the second of one byte: the first parent"),
    (32_768, "two whole groups"),
    (32_769, "three groups: the first tree that leans left"),
    (65_536, "a perfect tree of four groups"),
    (5 * 16_384 - 1, "a lone last group that hangs from the root"),
    (7 * 16_384 + 1, "eight groups, the last of one byte"),
    (17 * 16_384 + 1025, "a perfect left half of sixteen groups and a small right one"),
    (1024 * 1024 - 1, "one byte less than a perfect tree of 64 groups"),
    (1024 * 1024, "a perfect tree of 64 groups"),
    (1024 * 1024 + 1, "a perfect tree of 64 groups and one byte"),
];
