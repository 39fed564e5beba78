//! Why a request ended early.

use shoal_store::WriteError;

use crate::PoolClosed;
use crate::scheduler::Failure;

/// Why a request ended early.
pub(super) enum Ended {
    Failure(Failure),
    Write(WriteError),
    PoolClosed(PoolClosed),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Ended::Failure(failure)
    }
}

impl From<WriteError> for Ended {
    fn from(error: WriteError) -> Self {
        Ended::Write(error)
    }
}

impl From<PoolClosed> for Ended {
    fn from(error: PoolClosed) -> Self {
        Ended::PoolClosed(error)
    }
}
