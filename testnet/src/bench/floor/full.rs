//! The floor of a verified get: read, encrypt, decrypt, hash, write.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};

use super::{BUFFER, length, stream::Stream};

/// Buffers on their way between the thread that decrypts and the one that hashes and writes.
const BUFFERS: usize = 8;

pub(super) fn send(stream: &mut Stream, file: &Path) -> Result<()> {
    let mut file = File::open(file)?;
    stream.write_all(&file.metadata()?.len().to_le_bytes())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(buffer.get(..read).unwrap_or_default())?;
    }
}

pub(super) fn receive(stream: &mut Stream, file: &Path, digest: &blake3::Hash) -> Result<()> {
    let file = File::create_new(file)?;
    let (filled, to_write) = sync_channel::<Vec<u8>>(BUFFERS);
    let (emptied, empty) = sync_channel(BUFFERS);
    for _ in 0..BUFFERS {
        emptied.send(vec![0; BUFFER])?;
    }
    thread::scope(|scope| {
        let writer = scope.spawn(move || hash_and_write(file, &to_write, &emptied));
        let received = decrypt(stream, &empty, &filled);
        // Nothing follows, which the writer learns from this.
        drop(filled);
        let found = writer.join().map_err(|_| anyhow!("the writer panicked"))??;
        received?;
        ensure!(found == *digest, "the bytes hash to {found} and not to {digest}");
        Ok(())
    })
}

fn decrypt(stream: &mut Stream, empty: &Receiver<Vec<u8>>, filled: &SyncSender<Vec<u8>>) -> Result<()> {
    let mut left = length(stream)?;
    while left > 0 {
        let mut buffer = empty.recv().context("the writer ended early")?;
        buffer.resize(BUFFER.min(usize::try_from(left).unwrap_or(usize::MAX)), 0);
        stream.read_exact(&mut buffer)?;
        left -= buffer.len() as u64;
        filled.send(buffer).context("the writer ended early")?;
    }
    Ok(())
}

fn hash_and_write(
    mut file: File,
    filled: &Receiver<Vec<u8>>,
    emptied: &SyncSender<Vec<u8>>,
) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    while let Ok(buffer) = filled.recv() {
        hasher.update(&buffer);
        file.write_all(&buffer)?;
        // The other side is gone once it has all it wants.
        drop(emptied.send(buffer));
    }
    file.sync_data()?;
    Ok(hasher.finalize())
}
