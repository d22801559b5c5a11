//! Where users and their passwords are kept: a file of their own, the configuration, a file with the password.

use std::path::{Path, PathBuf};

use super::as_user;
use crate::server::{Engine, Server, wait_until};

/// Redis keeps them elsewhere.
mod ours {
    use super::*;

    on_every_engine![
        users_live_in_a_file,
        users_live_in_the_configuration,
        users_live_in_the_configuration_beside_a_file_with_the_password,
        a_password_may_come_from_a_file_and_is_never_shown,
    ];
}

fn users_live_in_a_file(engine: Engine) {
    let dir = std::env::temp_dir().join(format!("tallyring-acl-{}-{engine:?}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("as this test made it");
    let path = dir.join("users.acl");
    std::fs::write(&path, "# people\nuser default on nopass ~* &* +@all\nuser u on >p ~k* +@all\n")
        .expect("as this test made it");
    let server = Server::with_flags(engine, &["--aclfile", path.to_str().expect("as this test made it")]);
    let mut admin = server.connect();
    let mut user = as_user(&server, "u", "p");
    user.ask_words("SET k 1", "+OK\r\n");
    admin.ask_words("ACL SETUSER v on nopass +ping", "+OK\r\n");
    admin.ask_words("ACL SAVE", "+OK\r\n");
    let text = std::fs::read_to_string(&path).expect("as this test made it");
    assert!(text.contains("user v on nopass") && !text.contains(">p"), "{text}");
    std::fs::write(&path, format!("{text}user w nonsense\n")).expect("as this test made it");
    admin.send_words("ACL LOAD");
    let line = admin.line();
    assert!(
        line.starts_with("-ERR ") && line.contains(":4: Error in user rule 'nonsense': Syntax error"),
        "{line}"
    );
    user.ask_words("GET k", "$1\r\n1\r\n");
    std::fs::write(&path, text.replace("user u", "user other")).expect("as this test made it");
    admin.ask_words("ACL LOAD", "+OK\r\n");
    user.expect_closed();
    as_user(&server, "other", "p");
    std::fs::remove_dir_all(&dir).expect("as this test made it");
}

/// A directory with a configuration of this engine, a free port, and these lines besides: the directory, the file and the port.
fn configured(engine: Engine, name: &str, lines: impl FnOnce(&Path) -> String) -> (PathBuf, PathBuf, u16) {
    let dir = std::env::temp_dir().join(format!("tallyring-{name}-{}-{engine:?}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("as this test made it");
    let (path, port) = (dir.join("tallyring.conf"), crate::server::free_port(&[]));
    let (engine, data) = (engine.name(), dir.join("data"));
    let text = format!("port {port}\nadmin-port 0\nengine {engine}\ndir {}\n{}", data.display(), lines(&dir));
    std::fs::write(&path, text).expect("as this test made it");
    (dir, path, port)
}

/// Ends a server of such a file in order, and starts it again.
fn restarted(mut server: Server, path: &Path, port: u16) -> Server {
    server.terminate();
    wait_until("the server ends", || server.exited().is_some());
    Server::of_file(path, port)
}

fn users_live_in_the_configuration(engine: Engine) {
    let (dir, path, port) = configured(engine, "users", |_| "user u on >p (+get ~k*)\n".to_owned());
    let server = Server::of_file(&path, port);
    let mut admin = server.connect();
    as_user(&server, "u", "p").ask_words("GET k", "$-1\r\n");
    admin.ask_words("ACL SETUSER v on nopass +ping", "+OK\r\n");
    admin.ask_words("CONFIG SET requirepass root", "+OK\r\n");
    admin.ask_words("CONFIG REWRITE", "+OK\r\n");
    let text = std::fs::read_to_string(&path).expect("as this test made it");
    assert!(text.contains("user v on nopass") && !text.contains("root") && !text.contains(">p"), "{text}");
    let server = restarted(server, &path, port);
    server.connect().ask_words("PING", "-NOAUTH Authentication required.\r\n");
    as_user(&server, "v", "x").ask_words("PING", "+PONG\r\n");
    as_user(&server, "default", "root").ask_words("GET k", "$-1\r\n");
    as_user(&server, "u", "p").ask_words("GET k", "$-1\r\n");
    drop(server);
    std::fs::remove_dir_all(&dir).expect("as this test made it");
}

fn users_live_in_the_configuration_beside_a_file_with_the_password(engine: Engine) {
    let (dir, path, port) = configured(engine, "beside", |dir| {
        let password = dir.join("password");
        std::fs::write(&password, "root\n").expect("as this test made it");
        format!("requirepass-file {}\n", password.display())
    });
    let server = Server::of_file(&path, port);
    let mut admin = as_user(&server, "default", "root");
    admin.ask_words("ACL SETUSER v on >w +ping", "+OK\r\n");
    admin.ask_words("CONFIG SET requirepass other", "+OK\r\n");
    admin.ask_words("CONFIG REWRITE", "+OK\r\n");
    assert!(server.output().contains("requirepass is not written"), "{}", server.output());
    let text = std::fs::read_to_string(&path).expect("as this test made it");
    let says = |name: &str| text.lines().any(|line| line.starts_with(name));
    assert!(says("user v on ") && !says("requirepass ") && !says("user default"), "{text}");
    // It starts, with the file's password.
    let server = restarted(server, &path, port);
    as_user(&server, "v", "w").ask_words("PING", "+PONG\r\n");
    as_user(&server, "default", "root").ask_words("PING", "+PONG\r\n");
    drop(server);
    std::fs::remove_dir_all(&dir).expect("as this test made it");
}

fn a_password_may_come_from_a_file_and_is_never_shown(engine: Engine) {
    let path = std::env::temp_dir().join(format!("tallyring-pw-{}-{engine:?}", std::process::id()));
    std::fs::write(&path, "open sesame\nnot this\n").expect("as this test made it");
    let server =
        Server::with_flags(engine, &["--requirepass-file", path.to_str().expect("as this test made it")]);
    let mut client = server.connect();
    client.ask_words("PING", "-NOAUTH Authentication required.\r\n");
    client.ask(&["AUTH", "open sesame"], "+OK\r\n");
    client.ask(&["CONFIG", "SET", "requirepass", "hunter2"], "+OK\r\n");
    client.send_words("CONFIG GET *");
    let all = String::from_utf8(client.reply()).expect("as this test made it");
    assert!(!all.contains("hunter2") && !all.contains("sesame"), "{all}");
    client.send_words("ACL LIST");
    let list = String::from_utf8(client.reply()).expect("as this test made it");
    assert!(!list.contains("hunter2") && list.contains(" #"), "{list}");
    as_user(&server, "default", "hunter2");
    assert!(!server.output().contains("hunter2") && !server.output().contains("sesame"));
    std::fs::remove_file(&path).expect("as this test made it");
}
