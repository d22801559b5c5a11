//! The directives while the server runs: read by workers, changed by `CONFIG SET`.

use std::sync::{Arc, Mutex, RwLock};

use nix::errno::Errno;

use super::{ServerError, certificates, descriptors, users};
use crate::admin::Access;
use crate::command::acl::Users;
use crate::command::{ConfigError, RewriteError};
use crate::config::{Config, Password, SetError};
use crate::limits::Limits;
use crate::logging;
use crate::tls::{Profile, Refusal};
use crate::worker::Settings;

/// The configuration, shared.
#[derive(Debug)]
pub(super) struct Directives {
    config: RwLock<Config>,
    /// What new connections to the port for that are encrypted with; goes with the configuration.
    tls: RwLock<Option<Profile>>,
    /// What readers of figures must give; perhaps out of a file, so that it is not among the directives.
    token: Password,
    users: Arc<Users>,
    /// Held while the configuration file is written anew.
    file: Mutex<()>,
}

impl Directives {
    pub(super) fn new(config: Config, token: Password, tls: Option<Profile>) -> Result<Self, ServerError> {
        let users = Arc::new(users::of(&config)?);
        let (config, tls) = (RwLock::new(config), RwLock::new(tls));
        Ok(Self { config, tls, token, users, file: Mutex::new(()) })
    }

    /// Reads certificates and keys anew. True: there are such, and workers are to be told. What cannot be read stays as it was.
    pub(super) fn reload_certificates(&self) -> bool {
        match self.read(certificates::profile) {
            Ok(None) => false,
            Ok(profile) => {
                self.set_tls(profile);
                true
            }
            Err(refusal) => {
                log::warn!("received SIGHUP, and the certificates stay as they were: {refusal}");
                false
            }
        }
    }

    fn set_tls(&self, profile: Option<Profile>) {
        *self.tls.write().expect("no holder of this lock panics") = profile;
    }

    /// When a snapshot is to be taken.
    pub(super) fn save_rules(&self) -> SaveRules {
        self.read(|config| SaveRules {
            points: config.save.iter().map(|point| (point.seconds, point.changes)).collect(),
            growth_percent: config.auto_aof_rewrite_percentage,
            growth_bytes: config.auto_aof_rewrite_min_size as u64,
        })
    }

    /// Who may read figures over HTTP.
    pub(super) fn access(&self) -> Access {
        self.read(|config| Access { token: self.token.clone(), local_only: config.protected_mode })
    }

    /// The value of a directive, as `CONFIG GET` shows it.
    pub(super) fn value(&self, name: &str) -> String {
        let mut shown = String::new();
        self.read(|config| config.get(&|it| it == name, &mut |_, value| shown.push_str(value)));
        shown
    }

    fn read<R>(&self, look: impl FnOnce(&Config) -> R) -> R {
        look(&self.config.read().expect("no holder of this lock panics"))
    }
}

/// When a snapshot is to be taken, as the directives say it.
#[derive(Clone, Debug)]
pub(super) struct SaveRules {
    /// Seconds since the last one, and changes since then.
    pub(super) points: Vec<(u64, u64)>,
    /// By how much the journal may grow, in percent of the last one; 0: whatever it does.
    pub(super) growth_percent: u32,
    /// Below how many bytes that is all the same.
    pub(super) growth_bytes: u64,
}

impl Settings for Arc<Directives> {
    fn limits(&self) -> Limits {
        self.read(Config::limits)
    }

    fn get(&self, wanted: &dyn Fn(&str) -> bool, found: &mut dyn FnMut(&str, &str)) {
        self.read(|config| config.get(wanted, found));
    }

    fn set(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), ConfigError> {
        // Held over reading and writing: of two clients at once, neither undoes the other's change.
        let mut config = self.config.write().expect("no holder of this lock panics");
        let changed = config.set(pairs).map_err(refusal)?;
        if changed.maxclients > config.maxclients {
            descriptors::extend(&changed)?;
        }
        if certificates::concerns(pairs) {
            let failed =
                |refusal: Refusal| ConfigError::Invalid(refusal.directive.to_owned(), refusal.reason);
            self.set_tls(certificates::profile(&changed).map_err(failed)?);
        }
        for warning in &changed.warnings {
            log::warn!("{warning}");
        }
        logging::set_level(changed.loglevel);
        // As in Redis: the password is the default user's own, whatever else was said of it.
        if pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"requirepass")) {
            self.users.set_default_password(changed.requirepass.digest().cloned());
        }
        *config = changed;
        Ok(())
    }

    fn rewrite(&self) -> Result<(), RewriteError> {
        let _alone = self.file.lock().expect("no holder of this lock panics");
        // A copy: nobody waits for the disk who only wants to read a directive.
        let mut config = self.read(Config::clone);
        let source = match &config.requirepass_file {
            None => users::Source::Directive(config.requirepass.digest().cloned()),
            Some(path) => {
                let path = path.display().to_string();
                if config.requirepass.is_set() {
                    log::warn!(
                        path; "the password of CONFIG SET requirepass is not written: requirepass-file {path} has the one \
                        of the next start (remedy: write the new one there)"
                    );
                }
                // Both in one file would keep the server from starting.
                config.requirepass = Password::default();
                users::Source::File
            }
        };
        if config.aclfile.is_none() {
            config.users = users::lines(&self.users, &source).map_err(RewriteError::Failed)?;
        }
        let path = config.file.as_deref().ok_or(RewriteError::NoFile)?;
        match super::rewrite::rewrite(path, |text| config.rewritten(text)) {
            Ok(()) => {
                let file = path.display().to_string();
                log::info!(file; "the configuration file is rewritten: {file}");
                Ok(())
            }
            Err(error) => {
                let (file, errno) = (path.display().to_string(), error.raw_os_error());
                log::warn!(file, errno; "cannot rewrite the configuration file {file}: {error}");
                let known = error.raw_os_error().map(|errno| Errno::from_raw(errno).desc().to_owned());
                Err(RewriteError::Failed(known.unwrap_or_else(|| error.to_string())))
            }
        }
    }

    fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users)
    }

    fn tls(&self) -> Option<Profile> {
        self.tls.read().expect("no holder of this lock panics").clone()
    }

    fn load_users(&self) -> Option<Result<(), String>> {
        let path = self.read(|config| config.aclfile.clone())?;
        let loaded = users::load(&path).map(|listed| {
            self.users.replace(listed);
            let file = path.display().to_string();
            log::info!(file; "the users are read from {file}");
        });
        Some(loaded)
    }

    fn save_users(&self) -> Option<Result<(), String>> {
        let path = self.read(|config| config.aclfile.clone())?;
        let _alone = self.file.lock().expect("no holder of this lock panics");
        let saved = users::save(&path, &self.users).map_err(|error| {
            let file = path.display().to_string();
            log::warn!(file; "cannot write the users into {file}: {error}");
            error.to_string()
        });
        Some(saved)
    }
}

/// A refused change in the words that commands have for it.
fn refusal(error: SetError) -> ConfigError {
    match error {
        SetError::Unknown(name) => ConfigError::Unknown(name),
        SetError::Immutable(name) => ConfigError::Immutable(name),
        SetError::Protected(name) => ConfigError::Protected(name),
        SetError::Duplicate(name) => ConfigError::Duplicate(name),
        SetError::Invalid(name, reason) => ConfigError::Invalid(name, reason),
    }
}
