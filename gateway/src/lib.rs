//! The control API of a node: HTTP and JSON over any byte stream.
