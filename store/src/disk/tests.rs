//! Golden bytes of everything on disk, and bytes that were damaged.

use proptest::prelude::*;

use super::*;

fn stamp() -> Stamp {
    Stamp { size: 5, mtime_ns: -1, ctime_ns: 1_700_000_000_000_000_000, inode: 77 }
}

fn digest() -> Digest {
    Digest::from_bytes([0xab; 32])
}

fn partial() -> PartialRecord {
    PartialRecord {
        sequence: 3,
        digest: digest(),
        part: b"/tmp/.x.shoal-part".to_vec(),
        id: FileId { inode: 78, born_ns: 1 },
        stamp: stamp(),
        size: 100_000,
        have: GroupRanges::from_iter([0..2, 5..6]),
    }
}

const DIGEST: &str = "abababababababababababababababababababababababababababababababab";
const STAMP: &str = "8405201b17979cfe362a0000184d";

#[test]
fn blob_rows() {
    for (outboard, golden) in [
        (Outboard::Inline(vec![1, 2]), "83011a000186a0420102"),
        (Outboard::Inline(Vec::new()), "83011a000186a040"),
        (Outboard::File, "83011a000186a0f6"),
    ] {
        let row = BlobRow { size: 100_000, outboard };
        assert_eq!(hex(&row.encode()), golden);
        assert_eq!(BlobRow::decode(&row.encode()).unwrap(), row);
    }
}

#[test]
fn source_rows() {
    for (state, code) in [(SourceState::Good, "00"), (SourceState::Fresh, "01"), (SourceState::Changed, "02")]
    {
        let row = SourceRow { digest: digest(), stamp: stamp(), state };
        assert_eq!(hex(&row.encode()), format!("84015820{DIGEST}{STAMP}{code}"));
        assert_eq!(SourceRow::decode(&row.encode()).unwrap(), row);
    }
}

#[test]
fn share_rows() {
    let cid = Cid::file(digest());
    let row = ShareRow { cid, name: "x".to_owned(), size: 5, files: 1, published_at: 9 };
    assert_eq!(hex(&row.encode()), format!("8601582401551e20{DIGEST}6178050109"));
    assert_eq!(ShareRow::decode(&row.encode()).unwrap(), row);
}

#[test]
fn download_rows() {
    let row = DownloadRow { cid: Cid::directory(digest()), id: FileId { inode: 78, born_ns: 1 } };
    assert_eq!(hex(&row.encode()), format!("8401582401711e20{DIGEST}184e01"));
    assert_eq!(DownloadRow::decode(&row.encode()).unwrap(), row);
}

#[test]
fn partial_records() {
    let part = hex(b"/tmp/.x.shoal-part");
    let encoded = partial().encode();
    let (body, sum) = encoded.split_at(encoded.len() - CHECKSUM_LEN);
    assert_eq!(
        hex(body),
        format!("8801035820{DIGEST}52{part}82184e01{STAMP}1a000186a0828200028205 01").replace(' ', "")
    );
    assert_eq!(sum, &blake3::hash(body).as_bytes()[..CHECKSUM_LEN]);
    assert_eq!(PartialRecord::decode(&encoded).unwrap(), partial());
}

#[test]
fn a_record_with_too_many_ranges_forgets_some() {
    let many = u64::try_from(MAX_RECORDED_RANGES).unwrap() + 10;
    let have: GroupRanges = (0..many).map(|at| 2 * at..2 * at + 1).collect();
    let decoded = PartialRecord::decode(&PartialRecord { have: have.clone(), ..partial() }.encode()).unwrap();
    assert_eq!(decoded.have.range_count(), MAX_RECORDED_RANGES);
    assert!(decoded.have.difference(&have).is_empty());
}

#[test]
fn journal_lines() {
    let line = JournalLine { path: b"/a b\n".to_vec(), cid: Some(Cid::file(digest())) };
    let gone = JournalLine { path: b"/".to_vec(), cid: None };
    let text = String::from_utf8([line.encode(), gone.encode()].concat()).unwrap();
    assert_eq!(
        text,
        "86c41e7aadb5a8dc01b8e22c02e7228b 1 \
         bafkr4iflvov2xk5lvov2xk5lvov2xk5lvov2xk5lvov2xk5lvov2xk5lvm 2f6120620a\n\
         f5b42f07ce217903f2f159bb0f927134 1 - 2f\n"
    );
    assert_eq!(JournalLine::decode_all(text.as_bytes()).collect::<Vec<_>>(), [line, gone]);
}

proptest! {
    /// Whatever happens to a record, it decodes to what it was or not at all.
    #[test]
    fn a_damaged_record_is_noticed(at in 0_usize..200, flip in 1_u8.., cut in 0_usize..200) {
        let mut bytes = partial().encode();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert!(PartialRecord::decode(&bytes).is_err());
        bytes[at] ^= flip;
        bytes.truncate(cut);
        prop_assert_eq!(PartialRecord::decode(&bytes).is_ok(), cut >= partial().encode().len());
    }

    #[test]
    fn no_bytes_make_a_row_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = BlobRow::decode(&bytes);
        let _ = SourceRow::decode(&bytes);
        let _ = ShareRow::decode(&bytes);
        let _ = DownloadRow::decode(&bytes);
        let _ = PartialRecord::decode(&bytes);
        prop_assert_eq!(JournalLine::decode_all(&bytes).count(), 0);
    }

    #[test]
    fn a_journal_that_was_cut_keeps_its_whole_lines(cut in 0_usize..300) {
        let line = JournalLine { path: b"/a".to_vec(), cid: None }.encode();
        let bytes = line.repeat(5);
        let cut = cut.min(bytes.len());
        // A line is whole without its end, too: its checksum says so.
        let whole = (cut + 1) / line.len();
        prop_assert_eq!(JournalLine::decode_all(&bytes[..cut]).count(), whole);
    }
}
