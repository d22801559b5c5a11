//! What becomes of connections by who they are: denied requests are noted, attempts at passwords wait where there were
//! too many, and connections of users that are gone end.

use super::execute::Scene;
use super::host::facts_of;
use super::{Token, Worker, token_of};
use crate::command::acl::Denied;
use crate::command::monitor::bars;
use crate::command::resolve::{Forbidden, permit};
use crate::command::{Command, Flags, Now, session};
use crate::connection::{Client, Connection, Phase};
use crate::limits;
use crate::resp::args::Args;

use super::mailbox::{Counts, Shared};

/// Where it is noted who was denied what.
pub(super) struct Notes<'a> {
    pub(super) shared: &'a Shared,
    pub(super) counts: &'a mut Counts,
    pub(super) now_ms: u64,
    pub(super) unix_ms: u64,
    /// Entries that are kept.
    pub(super) most: usize,
}

/// What can be said of a request of which only the first arguments are there.
pub(super) enum Judged {
    /// Nothing yet.
    Early,
    /// Nothing any more: its user is gone.
    Gone,
    /// It is refused with this error.
    Refused(String),
    /// It may be executed.
    Fine,
}

impl Notes<'_> {
    /// Whether the client may do what a request of `declared` arguments begins with.
    pub(super) fn judge(
        mut self,
        (session, client): (&mut session::Session, &Client),
        (command, seen): (&'static Command, &Args<'_>),
        declared: usize,
    ) -> Judged {
        if !session.refresh(&self.shared.users) {
            return Judged::Gone;
        }
        match permit(session, command, seen) {
            // What may follow the name is looked at, too.
            Err(Forbidden::Denied(_)) if seen.len() == 1 && declared > 1 => Judged::Early,
            Err(forbidden) => {
                self.forbidden(forbidden, (session, client), (command, seen));
                Judged::Refused(forbidden.text(command))
            }
            Ok(()) => bars(session, command).map_or(Judged::Fine, |text| Judged::Refused(text.to_owned())),
        }
    }

    /// A request was refused for this.
    #[cold]
    pub(super) fn forbidden(
        &mut self,
        forbidden: Forbidden,
        (session, client): (&session::Session, &Client),
        (command, args): (&'static Command, &Args<'_>),
    ) {
        let denied = match forbidden {
            Forbidden::Stranger => {
                self.counts.unauthenticated += 1;
                return;
            }
            Forbidden::Denied(denied) => denied,
        };
        match denied {
            Denied::Command => self.counts.denied_commands += 1,
            Denied::Key(_) => self.counts.denied_keys += 1,
        }
        let mut line = Vec::new();
        facts_of(session, client, self.now_ms).line(&mut line);
        let mut denial = denied.denial((command, args), session, line, self.unix_ms);
        denial.object.truncate(limits::DENIED_BYTES);
        self.shared.users.note(denial, self.most);
    }
}

/// Whether a request gives a password.
#[inline]
fn gives_password(command: Option<&'static Command>, args: &Args<'_>) -> bool {
    command.is_some_and(|command| {
        command.flags.has(Flags::NO_AUTH) && args.len() > 1 && ["auth", "hello"].contains(&command.name)
    })
}

impl Scene<'_> {
    /// Where denials are noted.
    pub(super) fn notes(&mut self, now: Now) -> Notes<'_> {
        Notes {
            shared: self.shared,
            counts: self.counts,
            now_ms: self.now_ms,
            unix_ms: now.ms(),
            most: self.limits.denials,
        }
    }

    /// How long a request has to wait, in milliseconds, because of the passwords that came from its address.
    #[inline]
    pub(super) fn slowed(
        &self,
        connection: &Connection,
        command: Option<&'static Command>,
        args: &Args<'_>,
    ) -> Option<u64> {
        if !gives_password(command, args) || connection.waited {
            return None;
        }
        self.shared.strikes.delay(&connection.client.peer, self.now_ms)
    }
}

impl Worker {
    /// A connection's next attempt at a password has to wait so long.
    pub(super) fn slow_down(&mut self, token: Token, ms: u64) {
        let until = self.now_ms + ms;
        let at = self.slowed.partition_point(|(other, _)| *other <= until);
        self.slowed.insert(at, (until, token));
        self.counts.slowed_passwords += 1;
    }

    /// Those have their turn that have waited for it.
    pub(super) fn check_slowed(&mut self) {
        while let Some(&(until, token)) = self.slowed.front()
            && until <= self.now_ms
        {
            self.slowed.pop_front();
            if let Some(connection) = self.get(token) {
                connection.throttled = false;
                connection.waited = true;
                self.resume(token);
            }
        }
    }

    /// Users were changed: the connections of those that are gone end once their replies have left.
    pub(super) fn check_users(&mut self) {
        let users = &self.shared.users;
        let mut gone = Vec::new();
        for (slot, connection) in &mut self.connections {
            if !connection.session.refresh(users) && connection.phase == Phase::Open {
                connection.phase = Phase::Finishing;
                gone.push(token_of(slot, connection));
            }
        }
        for token in gone {
            self.settle(token);
        }
    }

    /// Whether a client of another machine is not served: nobody would have to say a password.
    pub(super) fn is_open_to_all(&self) -> bool {
        self.limits.local_only && self.shared.users.default_user().is_open()
    }
}
