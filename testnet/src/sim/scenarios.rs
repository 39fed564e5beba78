//! What a simulated network is put through.

pub(crate) mod growth;
pub(crate) mod lookup;
