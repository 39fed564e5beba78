//! A home is private, one process's, and never somebody else's folder.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{Home, HomeError, holder};

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(Home::open(folder.path()), Err(HomeError::NoHome { .. })));
    let mode = fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o755);
}

#[test]
fn a_folder_with_a_configuration_becomes_a_home() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.toml"), "").unwrap();
    let home = Home::open(folder.path()).unwrap();
    assert_eq!(holder(folder.path()), Some(std::process::id()));
    let key = home.identity().unwrap().public();
    drop(home);
    assert_eq!(holder(folder.path()), None);
    assert_eq!(Home::open(folder.path()).unwrap().identity().unwrap().public(), key);
}

#[test]
fn an_identity_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path()).unwrap();
    home.identity().unwrap();
    let identity = &home.paths().identity;
    fs::set_permissions(identity, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(home.identity(), Err(HomeError::Exposed { .. })));
    fs::set_permissions(identity, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(identity, "not a key").unwrap();
    assert!(matches!(home.identity(), Err(HomeError::Identity { .. })));
    assert_eq!(fs::read(identity).unwrap(), b"not a key", "it is never replaced");
}
