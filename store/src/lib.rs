//! What this disk holds: shares, outboards and partial blobs.
//!
//! Files stay where their owner has them: the store keeps paths, digests and hash trees, and serves the bytes
//! from where they lie for as long as they have not changed. Everything here blocks, and nothing knows of a
//! network. `docs/storage.md` lists every file and table and says why a crash at any point is safe.
//!
//! | to … | look at |
//! | --- | --- |
//! | share a file or a directory | [`Store::publish`], [`hash_only`] |
//! | serve it | [`Store::blob`], [`Blob`] |
//! | receive a blob | [`Store::partial`], [`Partial`] |
//! | receive a directory | [`Store::partial_directory`], [`PartialDirectory`] |
//! | keep what strangers said | [`Strangers`] |
//!
//! ```
//! use shoal_content::NetworkName;
//! use shoal_store::{Cancel, PublishOptions, Store};
//!
//! let home = tempfile::tempdir()?;
//! std::fs::write(home.path().join("hello.txt"), "hello")?;
//!
//! let store = Store::open(&home.path().join("store"), &NetworkName::default())?;
//! let options = PublishOptions::default();
//! let shared = store.publish(&home.path().join("hello.txt"), &options, &(), &Cancel::new())?;
//! let blob = store.blob(&shared.cid.digest())?.ok_or("it was just published")?;
//!
//! let mut bytes = [0; 5];
//! blob.read_at(0, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blob;
mod collect;
mod commit;
mod db;
mod directory;
mod disk;
mod files;
mod finish;
mod hash;
mod journal;
mod lock;
#[cfg(test)]
mod model;
mod observe;
mod outboard;
mod owned;
mod partial;
mod publish;
#[cfg(test)]
mod rot;
#[cfg(test)]
mod scenarios;
mod share;
mod stamp;
mod store;
mod strangers;
#[cfg(test)]
mod testing;
mod verify;
mod walk;

pub use blob::{Blob, Held, Lead, ReadError};
pub use db::StoreError;
pub use directory::{Member, PartialDirectory, SmallFile, Standing};
pub use finish::{FinishError, FinishOptions, Replace};
pub use observe::{Cancel, PublishObserver};
pub use partial::{Filled, Filler, Partial, PartialError, Verified, WriteError};
pub use publish::{PublishError, PublishOptions, Published, hash_only};
pub use share::{Announceable, Label, Selector, Share, ShareState};
pub use store::{OpenError, Store};
pub use strangers::{Row, Strangers};
pub use verify::Report;
pub use walk::{HOME_KEY, HOME_STORE, SkipReason, Skipped};
