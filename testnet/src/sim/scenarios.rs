//! What a simulated network is put through.

pub(crate) mod announce;
pub(crate) mod attacks;
pub(crate) mod churn;
pub(crate) mod growth;
pub(crate) mod lan;
pub(crate) mod lookup;
pub(crate) mod restart;
