//! Verified ranges of files on the wire: messages, the substream behaviour, serving and fetching.
