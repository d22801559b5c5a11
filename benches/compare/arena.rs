//! Servers that live longer than a step: started where a row first asks them, filled, and ended where one does not.
//!
//! Knows contenders, processors and numbers of keys. What is done to the servers is somebody else's.

use std::collections::BTreeMap;

use super::contender::{Contender, Missing};
use super::measure::fill;
use super::options::Options;
use super::plan::Instance;
use super::server::{self, Server};
use super::work::COMMANDS;

/// The servers.
pub(super) struct Arena<'o> {
    options: &'o Options,
    contenders: Vec<Contender>,
    standing: BTreeMap<(&'static str, Instance), Standing>,
    /// Which of [`COMMANDS`] a contender knows.
    known: Vec<(&'static str, &'static str)>,
}

struct Standing {
    server: Server,
    /// Keys in it.
    keys: u64,
}

impl<'o> Arena<'o> {
    /// Starts each contender once, asks what it knows, and leaves out those that do not start, with the reason.
    pub(super) fn open(options: &'o Options, contenders: Vec<Contender>, missing: &mut Vec<Missing>) -> Self {
        server::remove_leftovers();
        let mut arena = Self { options, contenders, standing: BTreeMap::new(), known: Vec::new() };
        let cores = arena.cores(Instance::Main);
        arena.contenders.retain(|contender| match Server::start(contender, &cores) {
            Ok(server) => {
                let known = COMMANDS.into_iter().filter(|command| server.knows(command));
                arena.known.extend(known.map(|command| (contender.name, command)));
                let standing = Standing { server, keys: 0 };
                arena.standing.insert((contender.name, Instance::Main), standing).is_none()
            }
            Err(why) => {
                missing.push(Missing { name: contender.name, why });
                false
            }
        });
        arena
    }

    /// Everyone who can be started.
    pub(super) fn contenders(&self) -> &[Contender] {
        &self.contenders
    }

    /// One of them.
    pub(super) fn contender(&self, name: &str) -> &Contender {
        let contender = self.contenders.iter().find(|contender| contender.name == name);
        contender.expect("steps are made of contenders that are there")
    }

    /// Whether a contender said that it knows a command.
    pub(super) fn knows(&self, name: &str, command: &str) -> bool {
        self.known.contains(&(name, command))
    }

    /// Processors of servers of this kind, and of the load while it asks them.
    pub(super) fn cores(&self, instance: Instance) -> Vec<usize> {
        match instance {
            Instance::Main | Instance::Few => vec![self.options.server_core],
            Instance::Wide => vec![self.options.server_core, self.options.load_core],
        }
    }

    /// Processors of the load while it asks servers of this kind.
    pub(super) fn load_cores(&self, instance: Instance) -> Vec<usize> {
        match instance {
            Instance::Main | Instance::Few => vec![self.options.load_core],
            Instance::Wide => self.cores(instance),
        }
    }

    /// Ends the servers that are none of these.
    pub(super) fn keep(&mut self, wanted: &[(&'static str, Instance)]) {
        self.standing.retain(|which, _| wanted.contains(which));
    }

    /// Makes sure that a server is there and has so many keys.
    ///
    /// # Errors
    /// A sentence about the server or the load.
    pub(super) fn prepare(&mut self, which: (&'static str, Instance), keys: u64) -> Result<(), String> {
        let (name, instance) = which;
        if !self.standing.contains_key(&which) {
            let server = Server::start(self.contender(name), &self.cores(instance))?;
            self.standing.insert(which, Standing { server, keys: 0 });
        }
        let (cores, has_table) = (self.load_cores(instance), self.contender(name).has_table());
        let standing = self.standing.get_mut(&which).expect("it is there by now");
        if has_table && keys > standing.keys {
            fill(&standing.server, &cores, keys)?;
            standing.keys = keys;
        }
        Ok(())
    }

    /// A server that is prepared.
    pub(super) fn server(&self, which: (&'static str, Instance)) -> &Server {
        &self.standing.get(&which).expect("a step's server is prepared before it").server
    }
}
