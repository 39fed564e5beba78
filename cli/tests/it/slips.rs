//! What somebody in a hurry types, and what they are told to do.

use crate::sandbox::Sandbox;

#[test]
fn a_slip_is_answered_with_what_was_meant() {
    let sandbox = Sandbox::new();
    sandbox.file("file", b"x");
    sandbox.file("tree/sub/file", b"y");
    let file = sandbox.run("home", "publish -n -q file").exits(0).word();
    let tree = sandbox.run("home", "publish -n -q tree").exits(0).word();
    let cases = [
        (format!("get {tree}/sub/file"), format!("`shoal get {tree} --include 'sub/file'`")),
        ("get file".to_owned(), "`shoal publish` shares it".to_owned()),
        ("find tree".to_owned(), "`shoal publish` shares it".to_owned()),
        (format!("verify {file} file"), "its place is before the CID".to_owned()),
        (format!("publish {file}"), format!("`shoal get {file}` fetches it")),
        (format!("publish -n {file}"), format!("`shoal get {file}` fetches it")),
        ("start --listen 4001".to_owned(), "/ip4/0.0.0.0/tcp/4001".to_owned()),
        ("start --listen :4001".to_owned(), "/ip4/0.0.0.0/tcp/4001".to_owned()),
        ("start --listen 127.0.0.1:9".to_owned(), "/ip4/127.0.0.1/tcp/9".to_owned()),
        ("start --external [2001:db8::1]:9".to_owned(), "/ip6/2001:db8::1/tcp/9".to_owned()),
    ];
    for (line, told) in cases {
        let ran = sandbox.run("home", &line).exits(2);
        assert!(ran.stderr.contains(&told), "{line}: {}", ran.stderr);
    }
    // A file that has the name of content is a file.
    sandbox.file(&file, b"x");
    sandbox.run("home", &format!("publish -n {file}")).exits(0);
}
