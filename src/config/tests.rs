//! What the server and its clients see of a configuration: reading it, `CONFIG GET`, `CONFIG SET`.

use super::{
    Bind, Config, ConfigError, DebugCommand, EngineChoice, Invocation, LogLevel, SavePoint, SetError,
    directive,
};
use crate::limits::Limits;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

fn run(args: &[&str]) -> Config {
    match Config::from_args(args.iter().map(OsString::from)) {
        Ok(Invocation::Run(config)) => *config,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn get(config: &Config, name: &str) -> String {
    let mut value = None;
    config.get(&|candidate| candidate == name, &mut |_, found| value = Some(found.to_owned()));
    value.unwrap_or_else(|| panic!("no directive {name}"))
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Config, SetError> {
    let pairs: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    config.set(&pairs)
}

fn invalid(name: &str, reason: &str) -> SetError {
    SetError::Invalid(name.to_owned(), reason.to_owned())
}

#[test]
fn flags_become_typed_values() {
    let config = run(&[
        "--port",
        "7000",
        "--bind",
        "*",
        "-::*",
        "-10.0.0.1",
        "--unixsocket",
        "/run/t.sock",
        "--UnixSocketPerm",
        "770",
        "--requirepass",
        "geheim",
        "--protected-mode",
        "no",
        "--engine",
        "auto",
        "--threads",
        "2",
        "--loglevel",
        "debug",
        "--enable-debug-command",
        "local",
        "--timeout",
        "30",
        "--save",
        "3600",
        "1",
        "--save",
        "300",
        "10",
    ]);
    assert_eq!(config.port, 7000);
    let bind = |text: &str| Bind::parse(text).unwrap();
    assert_eq!(config.bind, [bind("*"), bind("-::*"), bind("-10.0.0.1")]);
    assert_eq!(get(&config, "bind"), "* -::* -10.0.0.1");
    assert_eq!(config.unixsocket.as_deref(), Some(Path::new("/run/t.sock")));
    assert_eq!(config.unixsocketperm, 0o770);
    assert_eq!(get(&config, "unixsocketperm"), "770");
    assert_eq!(config.requirepass.matches(b"geheim"), Some(true));
    assert!(!config.protected_mode);
    assert_eq!((config.engine, config.threads), (EngineChoice::Auto, 2));
    assert_eq!(config.loglevel, LogLevel::Debug);
    assert_eq!(config.enable_debug_command, DebugCommand::Local);
    assert_eq!(
        config.save,
        [SavePoint { seconds: 3600, changes: 1 }, SavePoint { seconds: 300, changes: 10 }]
    );
    assert_eq!(get(&config, "save"), "3600 1 300 10");
    assert_eq!(config.limits().idle_seconds, 30);
}

#[test]
fn default_limits_are_those_of_the_contract() {
    assert_eq!(Config::default().limits(), Limits::default());
}

#[test]
fn a_password_does_not_reach_debug_output() {
    let config = run(&["--requirepass", "geheim"]);
    let text = format!("{config:?}");
    assert!(!text.contains("geheim") && text.contains("requirepass: set"), "{text}");
    assert!(!Config::default().requirepass.is_set());
}

#[test]
fn arguments_that_are_not_text_are_refused() {
    let error = Config::from_args([OsString::from_vec(b"--port=\xff".to_vec())]).unwrap_err();
    assert!(matches!(error, ConfigError::Usage(_)), "{error}");
}

#[test]
fn get_asks_for_each_directive_once() {
    let mut names = Vec::new();
    Config::default().get(&|_| true, &mut |name, _| names.push(name.to_owned()));
    let all = directive::all().map(|directive| directive.name);
    assert_eq!(names, all.filter(|name| *name != "user").collect::<Vec<_>>(), "ACL LIST shows users");
    assert_eq!(get(&Config::default(), "databases"), "1");
    assert_eq!(get(&Config::default(), "maxmemory"), "0");
    assert_eq!(
        get(&Config::default(), "client-output-buffer-limit"),
        "normal 268435456 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    );
}

#[test]
fn set_returns_a_changed_configuration() {
    let config = Config::default();
    let changed = set(
        &config,
        &[
            ("TIMEOUT", "5"),
            ("maxclients", "20"),
            ("loglevel", "WARNING"),
            ("client-output-buffer-limit", "normal 1mb 0 0"),
            ("latency-tracking-info-percentiles", "50 99.99"),
            ("requirepass", "a b"),
            ("appendfsync", "always"),
        ],
    )
    .unwrap();
    assert_eq!(config.timeout, 0);
    assert_eq!((changed.timeout, changed.maxclients), (5, 20));
    assert_eq!(get(&changed, "loglevel"), "warning");
    assert_eq!(changed.limits().output_buffer, 1 << 20);
    assert_eq!(changed.client_output_buffer_limit.pubsub, config.client_output_buffer_limit.pubsub);
    assert_eq!(get(&changed, "latency-tracking-info-percentiles"), "50 99.99");
    assert_eq!(changed.requirepass.matches(b"a b"), Some(true));
    assert!(changed.warnings.is_empty());
}

#[test]
fn set_replaces_save_points() {
    let config = set(&Config::default(), &[("save", "900 1 300 10")]).unwrap();
    assert!(config.warnings.is_empty());
    let config = set(&config, &[("save", "60 1")]).unwrap();
    assert_eq!(get(&config, "save"), "60 1");
    assert_eq!(get(&set(&config, &[("save", "")]).unwrap(), "save"), "");
}

#[test]
fn set_refuses_in_redis_words() {
    for (name, value, reason) in [
        ("timeout", "abc", "argument couldn't be parsed into an integer"),
        ("timeout", "-1", "argument must be between 0 and 2147483647 inclusive"),
        ("maxclients", "0", "argument must be between 1 and 4294967295 inclusive"),
        ("latency-tracking", "maybe", "argument must be 'yes' or 'no'"),
        ("proto-max-bulk-len", "2xb", "argument must be a memory value"),
        ("appendfsync", "x", "argument(s) must be one of the following: everysec, always, no"),
        ("save", "60", "Invalid save parameters"),
        ("save", "0 1", "Invalid save parameters"),
        (
            "client-output-buffer-limit",
            "normal 1",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "normal 1 1 1 master 1 1 1",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            "latency-tracking-info-percentiles",
            "nan",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
    ] {
        assert_eq!(set(&Config::default(), &[(name, value)]).unwrap_err(), invalid(name, reason), "{value}");
    }
    let error = Config::default().set(&[(b"requirepass", b"\xff")]).unwrap_err();
    assert_eq!(error, invalid("requirepass", "argument must be UTF-8 text"));
}

#[test]
fn set_judges_names_before_values() {
    let config = Config::default();
    for (pairs, error) in [
        (&[("timeout", "abc"), ("nonsense", "1")][..], SetError::Unknown("nonsense".to_owned())),
        (&[("appendonly", "no")], SetError::Immutable("appendonly".to_owned())),
        (&[("timeout", "abc"), ("port", "1")], SetError::Immutable("port".to_owned())),
        (&[("timeout", "abc"), ("DIR", "/")], SetError::Protected("DIR".to_owned())),
        (&[("timeout", "1"), ("TimeOut", "1")], SetError::Duplicate("TimeOut".to_owned())),
        (&[("hz", "10")], SetError::Unknown("hz".to_owned())),
        (&[("include", "/etc/t.conf")], SetError::Unknown("include".to_owned())),
    ] {
        assert_eq!(set(&config, pairs).unwrap_err(), error, "{pairs:?}");
    }
}
