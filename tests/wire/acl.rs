//! Who may do what: users, their rules, passwords, the log of denials; and that who guesses is slowed, and nobody else.

use std::os::unix::net::UnixStream;

use crate::client::{Client, request};
use crate::server::{Engine, Server};
use crate::tls::Secured;

mod kept;

on_every_engine![
    users_are_made_shown_and_removed,
    rules_that_are_none_are_told,
    permissions_hold_for_every_way_of_asking,
    a_change_holds_from_the_next_request_on,
    transactions_ask_again_when_they_are_executed,
    denials_are_logged,
    large_requests_are_refused_as_a_whole,
    ten_wrong_passwords_end_a_connection,
    what_needs_no_password_any_more_is_answered,
    a_generated_password_is_random,
];

/// Those that tell more than Redis does, or keep files.
mod ours {
    use super::*;

    on_every_engine![
        categories_have_their_commands,
        connections_of_a_removed_user_end,
        a_user_made_again_is_another_one,
        guesses_in_a_transaction_are_guesses,
        every_command_is_for_those_alone_who_may,
        every_command_over_tls_and_the_unix_socket,
        whoever_guesses_waits_and_others_do_not,
    ];
}

/// A client that has said who it is.
fn as_user(server: &Server, name: &str, password: &str) -> Client {
    let mut client = server.connect();
    client.ask(&["AUTH", name, password], "+OK\r\n");
    client
}

fn users_are_made_shown_and_removed(engine: Engine) {
    let server = Server::start(engine);
    let mut admin = server.connect();
    admin.talk(
        "> ACL WHOAMI
         < $7
         < default
         > ACL LIST
         < *1
         < $34
         < user default on nopass ~* &* +@all
         > ACL SETUSER alice
         < +OK
         > ACL SETUSER alice on >secret ~views:* +@read -mget
         < +OK
         > ACL USERS
         < *2
         < $5
         < alice
         < $7
         < default
         > ACL GETUSER nobody
         < $-1
         > ACL DELUSER nobody alice
         < :1
         > ACL DELUSER default
         < -ERR The 'default' user cannot be removed
         > ACL USERS
         < *1
         < $7
         < default",
    );
    admin.talk(
        "> ACL SETUSER bob on nopass %R~r:* ~all:* &news +@all -@dangerous +config|get
         < +OK
         > ACL GETUSER bob
         < *12
         < $5
         < flags
         < *2
         < $2
         < on
         < $6
         < nopass
         < $9
         < passwords
         < *0
         < $8
         < commands
         < $29
         < +@all -@dangerous +config|get
         < $4
         < keys
         < $13
         < %R~r:* ~all:*
         < $8
         < channels
         < $5
         < &news
         < $9
         < selectors
         < *0",
    );
}

fn rules_that_are_none_are_told(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> ACL SETUSER u +nope
         < -ERR Error in ACL SETUSER modifier '+nope': Unknown command or category name in ACL
         > ACL SETUSER u +@nope
         < -ERR Error in ACL SETUSER modifier '+@nope': Unknown command or category name in ACL
         > ACL SETUSER u on off nonsense
         < -ERR Error in ACL SETUSER modifier 'nonsense': Syntax error
         > ACL SETUSER u #abc
         < -ERR Error in ACL SETUSER modifier '#abc': The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters
         > ACL SETUSER u (+get
         < -ERR Unmatched parenthesis in acl selector starting at '(+get'.
         > ACL SETUSER \"a b\"
         < -ERR Usernames can't contain spaces or null characters
         > ACL SETUSER
         < -ERR wrong number of arguments for 'acl|setuser' command
         > ACL NOSUCH
         < -ERR unknown subcommand 'NOSUCH'. Try ACL HELP.
         > ACL CAT nope
         < -ERR Unknown category 'nope'
         > ACL USERS
         < *1
         < $7
         < default",
    );
}

fn categories_have_their_commands(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> ACL CAT transaction
         < *5
         < $5
         < multi
         < $4
         < exec
         < $7
         < discard
         < $5
         < watch
         < $7
         < unwatch
         > ACL CAT SORTEDSET
         < *0",
    );
}

fn permissions_hold_for_every_way_of_asking(engine: Engine) {
    let server = Server::start(engine);
    let mut admin = server.connect();
    admin.ask(
        &["ACL", "SETUSER", "u", "on", ">p", "~k:*", "%R~r:*", "+@all", "-@dangerous", "-incr", "+select|0"],
        "+OK\r\n",
    );
    admin.talk(
        "> ACL DRYRUN u get k:1
         < +OK
         > ACL DRYRUN u incr k:1
         < $61
         < This user has no permissions to run the 'incr' command
         > ACL DRYRUN nobody get k:1
         < -ERR User 'nobody' not found"
            .replace("$61", "$54")
            .as_str(),
    );
    let mut user = as_user(&server, "u", "p");
    user.talk(
        "> ACL WHOAMI
         < $1
         < u
         > SET k:1 5
         < +OK
         > MGET k:1 r:1
         < *2
         < $1
         < 5
         < $-1
         > SET r:1 5
         < -NOPERM this user has no permissions to access one of the keys used as arguments
         > MGET k:1 x
         < -NOPERM this user has no permissions to access one of the keys used as arguments
         > INCR k:1
         < -NOPERM this user has no permissions to run the 'incr' command
         > CONFIG GET port
         < -NOPERM this user has no permissions to run the 'config|get' command
         > FLUSHALL
         < -NOPERM this user has no permissions to run the 'flushall' command
         > COPY r:1 k:2
         < :0
         > COPY k:1 r:1
         < -NOPERM this user has no permissions to access one of the keys used as arguments
         > AUTH default whatever
         < +OK
         > INCR k:1
         < :6",
    );
}

fn a_change_holds_from_the_next_request_on(engine: Engine) {
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let mut admin = server.connect();
    admin.ask_words("ACL SETUSER u on nopass ~* +@all", "+OK\r\n");
    let mut users: Vec<Client> = (0..4).map(|_| as_user(&server, "u", "x")).collect();
    for _ in 0..20 {
        admin.ask_words("ACL SETUSER u -incr", "+OK\r\n");
        for user in &mut users {
            user.ask_words("INCR n", "-NOPERM this user has no permissions to run the 'incr' command\r\n");
        }
        admin.ask_words("ACL SETUSER u +incr", "+OK\r\n");
        for user in &mut users {
            user.send_words("INCR n");
            user.integer();
        }
    }
    // Also behind each other in one pipeline.
    let mut own = as_user(&server, "u", "x");
    own.send("ACL SETUSER u -get\r\nGET n\r\nACL SETUSER u +get\r\nSTRLEN n\r\n");
    own.expect("+OK\r\n-NOPERM this user has no permissions to run the 'get' command\r\n+OK\r\n:2\r\n");
}

fn transactions_ask_again_when_they_are_executed(engine: Engine) {
    let server = Server::start(engine);
    let mut admin = server.connect();
    admin.ask_words("ACL SETUSER u on nopass ~k* +@all", "+OK\r\n");
    let mut user = as_user(&server, "u", "x");
    user.talk(
        "> MULTI
         < +OK
         > GET x
         < -NOPERM this user has no permissions to access one of the keys used as arguments
         > EXEC
         < -EXECABORT Transaction discarded because of previous errors.
         > MULTI
         < +OK
         > INCR k
         < +QUEUED
         > SET k 1
         < +QUEUED",
    );
    admin.ask_words("ACL SETUSER u -incr", "+OK\r\n");
    user.talk(
        "> EXEC
         < *2
         < -NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand
         < +OK
         > GET k
         < $1
         < 1",
    );
}

fn denials_are_logged(engine: Engine) {
    let server = Server::start(engine);
    let mut admin = server.connect();
    admin.ask_words("ACL SETUSER u on >p ~k* +get +multi +exec", "+OK\r\n");
    let mut user = as_user(&server, "u", "p");
    user.ask_words(
        "GET x",
        "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n",
    );
    user.ask_words(
        "GET x",
        "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n",
    );
    user.ask_words("MULTI", "+OK\r\n");
    user.ask_words("INCR k", "-NOPERM this user has no permissions to run the 'incr' command\r\n");
    user.ask_words("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    user.ask_words("AUTH u wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    let entries = |admin: &mut Client| {
        admin.send_words("ACL LOG");
        String::from_utf8(admin.reply()).expect("as this test made it")
    };
    let log = entries(&mut admin);
    assert!(log.starts_with("*2\r\n*14\r\n") || log.starts_with("*3\r\n*14\r\n"), "{log}");
    let of = |reason: &str, context: &str, object: &str, count: u32| {
        let fields = [
            format!("$5\r\ncount\r\n:{count}\r\n$6\r\nreason\r\n${}\r\n{reason}\r\n", reason.len()),
            format!("$7\r\ncontext\r\n${}\r\n{context}\r\n", context.len()),
            format!("$6\r\nobject\r\n${}\r\n{object}\r\n$8\r\nusername\r\n$1\r\nu\r\n", object.len()),
        ];
        assert!(log.contains(&fields.concat()), "{reason} {context} {object} {count}: {log}");
    };
    of("key", "toplevel", "x", 2);
    of("command", "multi", "incr", 1);
    assert!(log.contains("client-info") && !log.contains("wrong"), "{log}");
    admin.ask_words("ACL LOG RESET", "+OK\r\n");
    admin.ask_words("ACL LOG", "*0\r\n");
}

fn large_requests_are_refused_as_a_whole(engine: Engine) {
    let server = Server::start(engine);
    let mut admin = server.connect();
    admin.ask_words("ACL SETUSER u on nopass ~k* +@all -mset", "+OK\r\n");
    let mut user = as_user(&server, "u", "x");
    let keys: Vec<String> = (0..50_000).map(|number| format!("k{number}")).collect();
    let words = |head: &[&str], keys: &[String], tail: &[&str]| {
        let mut words: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
        words.extend(keys.iter().cloned());
        words.extend(tail.iter().map(|&word| word.to_owned()));
        request(&words)
    };
    // One key that may not be touched, and the last one at that: nothing is deleted.
    user.ask_words("SET k1 v", "+OK\r\n");
    user.send(words(&["DEL"], &keys, &["x"]));
    user.expect("-NOPERM this user has no permissions to access one of the keys used as arguments\r\n");
    user.ask_words("EXISTS k1", ":1\r\n");
    user.send(words(&["DEL"], &keys, &[]));
    user.expect(":1\r\n");
    user.send(words(&["MSET"], &keys, &[]));
    user.expect("-NOPERM this user has no permissions to run the 'mset' command\r\n");
    user.ask_words("PING", "+PONG\r\n");
}

fn ten_wrong_passwords_end_a_connection(engine: Engine) {
    let server = Server::start(engine);
    server.connect().ask_words("ACL SETUSER u on >p +@all", "+OK\r\n");
    let mut client = server.connect();
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for _ in 0..9 {
        client.ask_words("AUTH u q", wrong);
    }
    client.ask_words("AUTH u p", "+OK\r\n");
    for _ in 0..5 {
        client.ask_words("AUTH u q", wrong);
        client.ask_words("HELLO 3 AUTH nobody q", wrong);
    }
    if !crate::server::is_foreign() {
        client.expect_closed();
    }
}

fn what_needs_no_password_any_more_is_answered(engine: Engine) {
    let server = Server::start(engine);
    let mut admin = server.connect();
    admin.ask_words("CONFIG SET requirepass sesame", "+OK\r\n");
    let mut stranger = server.connect();
    stranger.ask_words("PING", "-NOAUTH Authentication required.\r\n");
    admin.ask_words("CONFIG SET requirepass \"\"", "+OK\r\n");
    stranger.ask_words("PING", "+PONG\r\n");
}

fn a_generated_password_is_random(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let mut generate = |words: &str| {
        client.send_words(words);
        client.text()
    };
    let (one, other) = (generate("ACL GENPASS"), generate("ACL GENPASS"));
    assert!(one.len() == 64 && other.len() == 64 && one != other);
    assert_eq!(generate("ACL GENPASS 5").len(), 2);
    assert_eq!(generate("ACL GENPASS 4096").len(), 1024);
    let bits = "-ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096\r\n";
    client.ask_words("ACL GENPASS 0", bits);
    client.ask_words("ACL GENPASS 4097", bits);
}

/// What an error of `EXEC` begins with.
const ABORT: &str = "-EXECABORT Transaction discarded because of: ";

fn every_command_is_for_those_alone_who_may(engine: Engine) {
    let server = Server::start(engine);
    check_every_command(&mut server.connect(), || server.connect());
}

/// Each command without a password, with a wrong one, with one of a user that lacks the permission, and with the right one.
fn check_every_command(admin: &mut Client, mut connect: impl FnMut() -> Client) {
    const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    admin.ask_words("ACL SETUSER default resetpass >root", "+OK\r\n");
    admin.ask_words("ACL SETUSER none on >p", "+OK\r\n");
    admin.ask_words("ACL SETUSER all on >p ~* +@all", "+OK\r\n");
    admin.send_words("COMMAND LIST");
    let listed = String::from_utf8(admin.reply()).expect("names are ASCII");
    let names: Vec<&str> = listed.lines().filter(|line| !line.starts_with(['*', '$'])).collect();
    assert!(names.len() > 90, "{names:?}");
    let mut stranger = connect();
    let mut guesser = connect();
    guesser.ask_words("AUTH wrong", WRONG);
    let mut refused = connect();
    refused.ask_words("AUTH none p", "+OK\r\n");
    // All commands, and one key, which is none of those that are asked for.
    admin.ask_words("ACL SETUSER keyless on >p ~other +@all", "+OK\r\n");
    let mut keyless = connect();
    keyless.ask_words("AUTH keyless p", "+OK\r\n");
    let mut with_keys = 0;
    // What needs no password is about the connection alone.
    let free = |name: &str| ["auth", "hello", "quit", "reset"].contains(&name);
    for name in names.into_iter().filter(|name| !free(name)) {
        let words = shortest(admin, name);
        let told = |client: &mut Client, text: &str| {
            client.send(request(&words));
            let line = client.line();
            assert!(line == format!("-{text}") || line == format!("{ABORT}{text}"), "{name}: {line}");
        };
        told(&mut stranger, "NOAUTH Authentication required.");
        told(&mut guesser, "NOAUTH Authentication required.");
        let full = if words.get(1).is_some_and(|word| word == "help") && !name.contains('|') {
            format!("{name}|help")
        } else {
            name.to_owned()
        };
        told(&mut refused, &format!("NOPERM this user has no permissions to run the '{full}' command"));
        admin.send(request(&[&["COMMAND".to_owned(), "GETKEYS".to_owned()], words.as_slice()].concat()));
        if admin.reply().starts_with(b"*") {
            with_keys += 1;
            told(
                &mut keyless,
                "NOPERM this user has no permissions to access one of the keys used as arguments",
            );
        }
        // Those end the server, or are followed by more than a reply.
        if !["shutdown", "monitor"].contains(&name) {
            let mut permitted = connect();
            permitted.ask_words("AUTH all p", "+OK\r\n");
            permitted.send(request(&words));
            let reply = String::from_utf8_lossy(&permitted.reply()).into_owned();
            assert!(!reply.starts_with("-NOAUTH") && !reply.starts_with("-NOPERM"), "{name}: {reply}");
        }
    }
    assert!(with_keys > 60, "{with_keys} commands with keys");
    stranger.ask_words("PING", "-NOAUTH Authentication required.\r\n");
    stranger.ask_words("AUTH root", "+OK\r\n");
    stranger.ask_words("PING", "+PONG\r\n");
}

/// The shortest request of a command, or the help of a container.
fn shortest(admin: &mut Client, name: &str) -> Vec<String> {
    admin.send(request(&["COMMAND", "INFO", name]));
    let info = String::from_utf8_lossy(&admin.reply()).into_owned();
    if info.contains(&format!("\r\n{name}|help\r\n")) {
        return vec![name.to_owned(), "help".to_owned()];
    }
    let arity = info.split("\r\n").nth(4).and_then(|line| line.strip_prefix(':')?.parse::<i64>().ok());
    let arity = arity.unwrap_or_else(|| panic!("the arity of {name} in {info}")).unsigned_abs();
    let mut words: Vec<String> = name.split('|').map(str::to_owned).collect();
    words.resize(usize::try_from(arity).expect("a small number"), "1".to_owned());
    words
}

fn every_command_over_tls_and_the_unix_socket(engine: Engine) {
    let secured = Secured::start(engine, &["--unixsocket", "s"]);
    check_every_command(&mut secured.server.connect(), || secured.connect(&rustls::version::TLS13));
    let secured = Secured::start(engine, &["--unixsocket", "s"]);
    let socket = secured.server.dir().join("s");
    check_every_command(&mut secured.server.connect(), || {
        Client::over_unix(UnixStream::connect(&socket).expect("it listens"))
    });
}

fn connections_of_a_removed_user_end(engine: Engine) {
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let mut admin = server.connect();
    admin.ask_words("ACL SETUSER u on nopass ~* +@all", "+OK\r\n");
    let mut users: Vec<Client> = (0..6).map(|_| as_user(&server, "u", "x")).collect();
    let mut other = server.connect();
    // Also one that removes itself, and gets its reply.
    let mut own = as_user(&server, "u", "x");
    own.send("INCR n\r\nACL DELUSER u\r\nINCR n\r\n");
    own.expect(":1\r\n:1\r\n");
    own.expect_closed();
    users.iter_mut().for_each(Client::expect_closed);
    other.ask_words("GET n", "$1\r\n1\r\n");
}

fn a_user_made_again_is_another_one(engine: Engine) {
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let mut admin = server.connect();
    admin.ask_words("ACL SETUSER u on nopass +ping", "+OK\r\n");
    let mut users: Vec<Client> = (0..6).map(|_| as_user(&server, "u", "x")).collect();
    let mut own = as_user(&server, "u", "x");
    // In one turn: nobody has looked between the two.
    admin.send("ACL DELUSER u\r\nACL SETUSER u on nopass ~* +@all\r\n");
    admin.expect(":1\r\n+OK\r\n");
    users.iter_mut().for_each(Client::expect_closed);
    own.expect_closed();
    as_user(&server, "u", "x").ask_words("INCR n", ":1\r\n");
    admin.ask_words("GET n", "$1\r\n1\r\n");
}

/// To queue passwords and have them tried at once is no way around the limits of guessing.
fn guesses_in_a_transaction_are_guesses(engine: Engine) {
    const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let server = Server::start(engine);
    let mut admin = server.connect();
    admin.ask_words("ACL SETUSER u on >p ~* +@all", "+OK\r\n");
    let mut client = server.connect();
    client.ask_words("MULTI", "+OK\r\n");
    for words in ["AUTH u q"; 300].iter().chain(&["AUTH u p", "HELLO 3 AUTH u p", "INCR n"]) {
        client.ask_words(words, "+QUEUED\r\n");
    }
    client.send_words("EXEC");
    // Beyond ten the right one does not help either.
    client.expect(format!("*303\r\n{}:1\r\n", WRONG.repeat(302)));
    client.expect_closed();
    assert_eq!(admin.info("refusals", "refused_wrong_password"), "10");
    // Each of them counts for its address.
    for guessers in 1.. {
        if admin.info("refusals", "slowed_password") != "0" {
            break;
        }
        assert!(guessers < 50, "guessing goes on for ever");
        let mut guesser = server.connect();
        guesser.send(format!("MULTI\r\n{}EXEC\r\n", "AUTH u q\r\n".repeat(10)));
        guesser.expect(format!("+OK\r\n{}*10\r\n{}", "+QUEUED\r\n".repeat(10), WRONG.repeat(10)));
        guesser.expect_closed();
    }
}

/// Beyond a hundred wrong passwords attempts wait for their turn: they do not go through at once, and everybody else's
/// requests do.
fn whoever_guesses_waits_and_others_do_not(engine: Engine) {
    let server = Server::start(engine);
    let mut admin = server.connect();
    admin.ask_words("ACL SETUSER u on >p +@all", "+OK\r\n");
    let count = |admin: &mut Client, field: &str| -> u64 {
        admin.info("refusals", field).parse().expect("as this test made it")
    };
    // Nine each, so that none of them is closed, from as many as it takes.
    let mut guessers: Vec<Client> = Vec::new();
    while count(&mut admin, "slowed_password") == 0 {
        let mut guesser = server.connect();
        guesser.send("AUTH u q\r\n".repeat(9));
        guessers.push(guesser);
        assert!(guessers.len() < 200, "guessing goes on for ever");
    }
    assert!(count(&mut admin, "refused_wrong_password") >= 100, "a hundred are nobody's business");
    // Others of the same address that give no password are served meanwhile.
    admin.ask_words("INCR n", ":1\r\n");
    // And who waits is answered in the end.
    let mut last = server.connect();
    last.ask_words("AUTH u p", "+OK\r\n");
    for guesser in &mut guessers {
        for _ in 0..9 {
            assert_eq!(guesser.line(), "-WRONGPASS invalid username-password pair or user is disabled.");
        }
    }
}
