//! Tests of the socket's place and of who may use it.

use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_goes_with_the_listener() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("api.sock");
    let listener = Listener::bind(&path, home.path()).unwrap();
    assert_eq!(listener.path(), path);
    assert_eq!(mode(&path), 0o600);
    let (ours, theirs) = tokio::join!(connect(&path), accept(&listener, rustix::process::getuid().as_raw()));
    assert!(ours.is_ok() && theirs.is_some());
    drop(listener);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn another_user_is_turned_away() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("api.sock");
    let listener = Listener::bind(&path, home.path()).unwrap();
    let other = rustix::process::getuid().as_raw() + 1;
    let (ours, theirs) = tokio::join!(connect(&path), accept(&listener, other));
    assert!(ours.is_ok() && theirs.is_none());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("api.sock");
    // As after a kill: the socket is there, and nobody listens.
    drop(blocking::UnixListener::bind(&path).unwrap());
    assert!(connect(&path).await.is_err());
    let listener = Listener::bind(&path, home.path()).unwrap();
    assert!(connect(&path).await.is_ok());
    assert!(matches!(Listener::bind(&path, home.path()), Err(BindError::InUse { .. })));
    drop(listener);
    assert!(Listener::bind(&path, home.path()).is_ok());
}

#[tokio::test]
async fn a_home_with_a_long_path_has_its_socket_elsewhere() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("h".repeat(MAX_PATH));
    fs::create_dir(&home).unwrap();
    let runtime = place.path().join("run");
    let path = home.join("api.sock");
    assert!(locate(&path).is_err(), "never bound");
    for _ in 0..2 {
        let listener = Listener::bind(&path, &runtime).unwrap();
        assert_eq!(listener.path().parent(), Some(runtime.as_path()));
        assert_eq!(locate(&path).unwrap(), listener.path());
        assert_eq!((mode(&runtime), mode(listener.path())), (0o700, 0o600));
        assert!(connect(&path).await.is_ok());
        // As after a kill: socket and link stay, and nobody listens.
        let (socket, link) = (listener.path().to_owned(), path.clone());
        drop(listener);
        drop(blocking::UnixListener::bind(&socket).unwrap());
        symlink(&socket, &link).unwrap();
    }
}

#[tokio::test]
async fn a_runtime_directory_that_others_can_write_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("h".repeat(MAX_PATH));
    let runtime = place.path().join("run");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Listener::bind(&path, &runtime), Err(BindError::NotPrivate { .. })));
}
