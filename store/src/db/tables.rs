//! The tables of the database, and the rules that hold between them.

mod read;
mod write;

use redb::{
    AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};
use shoal_content::{Digest, NetworkName, ProviderKey};

use super::StoreError;
use crate::disk::Damaged;

type Bytes = &'static [u8];

const BLOBS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("blobs");
const KEYS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("keys");
const SOURCES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("sources");
const OWNED: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("owned");
const HOLDERS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("holders");
const SHARES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("shares");
const DOWNLOADS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("downloads");
const DAMAGED: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("damaged");
const META: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("meta");

/// Row of `meta` that names the network of the provider keys.
const NETWORK: Bytes = b"network";

/// Row of `meta` with the version of the tables, and that version: raised when an older program would
/// misunderstand them.
const VERSION: Bytes = b"version";
const THIS_VERSION: u8 = 1;

/// Row of `meta` in which whoever announces what is here keeps how far that has come.
const PROGRESS: Bytes = b"progress";

/// All tables in one state, to be read ([`Read`]) or changed ([`Write`]).
#[derive(Debug)]
pub(crate) struct Tables<T> {
    blobs: T,
    keys: T,
    sources: T,
    owned: T,
    holders: T,
    shares: T,
    downloads: T,
    damaged: T,
    meta: T,
    /// The network whose provider keys are in `keys`.
    network: NetworkName,
}

pub(crate) type Read = Tables<ReadOnlyTable<Bytes, Bytes>>;
pub(crate) type Write<'txn> = Tables<Table<'txn, Bytes, Bytes>>;

impl<T> Tables<T> {
    fn open(
        network: &NetworkName,
        open: impl Fn(TableDefinition<'static, Bytes, Bytes>) -> Result<T, TableError>,
    ) -> Result<Self, TableError> {
        Ok(Self {
            network: network.clone(),
            blobs: open(BLOBS)?,
            keys: open(KEYS)?,
            sources: open(SOURCES)?,
            owned: open(OWNED)?,
            holders: open(HOLDERS)?,
            shares: open(SHARES)?,
            downloads: open(DOWNLOADS)?,
            damaged: open(DAMAGED)?,
            meta: open(META)?,
        })
    }
}

/// The network whose provider keys the tables hold; nothing if there are no tables yet.
pub(super) fn network(transaction: &ReadTransaction) -> Result<Option<NetworkName>, StoreError> {
    let meta = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        opened => opened?,
    };
    let name = meta.get(NETWORK)?;
    let name = name.as_ref().and_then(|name| std::str::from_utf8(name.value()).ok());
    name.map(|name| name.parse().map_err(|_| Damaged.into())).transpose()
}

impl Read {
    pub(super) fn new(transaction: &ReadTransaction, network: &NetworkName) -> Result<Self, TableError> {
        Self::open(network, |table| transaction.open_table(table))
    }
}

impl<T: ReadableTable<Bytes, Bytes>> Tables<T> {
    /// Whether the provider keys are those of the network of this transaction.
    pub(super) fn has_our_keys(&self) -> Result<bool, StoreError> {
        match self.meta.get(VERSION)?.as_ref().map(AccessGuard::value) {
            Some([THIS_VERSION]) => {}
            Some([later]) if *later > THIS_VERSION => return Err(StoreError::Newer),
            _ => return Err(Damaged.into()),
        }
        let known = self.meta.get(NETWORK)?;
        Ok(known.is_some_and(|known| known.value() == self.network.as_str().as_bytes()))
    }
}

impl<'txn> Write<'txn> {
    pub(super) fn new(
        transaction: &'txn WriteTransaction,
        network: &NetworkName,
    ) -> Result<Self, TableError> {
        Self::open(network, |table| transaction.open_table(table))
    }

    /// Derives every provider key anew, for the network of this transaction.
    pub(super) fn derive_keys(&mut self) -> Result<(), StoreError> {
        self.keys.retain(|_, _| false)?;
        for row in self.blobs.iter()? {
            let digest = digest_of(row?.0.value())?;
            let key = ProviderKey::derive(&self.network, &digest);
            self.keys.insert(key.as_bytes().as_slice(), digest.as_bytes().as_slice())?;
        }
        self.meta.insert(VERSION, [THIS_VERSION].as_slice())?;
        self.meta.insert(NETWORK, self.network.as_str().as_bytes())?;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn set_version(&mut self, version: u8) -> Result<(), StoreError> {
        self.meta.insert(VERSION, [version].as_slice())?;
        Ok(())
    }
}

fn digest_of(bytes: &[u8]) -> Result<Digest, Damaged> {
    Ok(Digest::from_bytes(bytes.try_into().map_err(|_| Damaged)?))
}
