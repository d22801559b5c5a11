//! Which client sends most of a worker's commands: a vote that keeps two names, however many clients there are.
//!
//! In each second the vote of Boyer and Moore (`MJRTY`, 1981) elects the only client that can have sent more than half of the
//! commands; in the next one that client's commands are counted one by one. So the share is exact, and a second old.

/// What was found in the last full second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busiest {
    /// The client's number, 0 = nobody was elected.
    pub client: u64,
    /// Its commands.
    pub commands: u64,
    /// Commands of all clients.
    pub of: u64,
}

/// The vote of one worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vote {
    /// Who leads, and by how many commands that nobody else's stand against.
    leader: u64,
    lead: u64,
    /// Whose commands are counted, and what was counted in this second.
    counted: Busiest,
}

impl Vote {
    /// A client sent so many commands.
    #[inline]
    pub fn note(&mut self, client: u64, commands: u64) {
        self.counted.of += commands;
        if self.counted.client == client {
            self.counted.commands += commands;
        }
        if self.leader == client {
            self.lead += commands;
        } else if self.lead >= commands {
            self.lead -= commands;
        } else {
            (self.leader, self.lead) = (client, commands - self.lead);
        }
    }

    /// A second is over: gives what was counted in it.
    pub fn close(&mut self) -> Busiest {
        let next = Self { counted: Busiest { client: self.leader, ..Busiest::default() }, ..Self::default() };
        std::mem::replace(self, next).counted
    }
}

#[cfg(test)]
mod tests {
    use super::{Busiest, Vote};

    #[test]
    fn whoever_sends_more_than_half_is_found_in_any_order() {
        let mut vote = Vote::default();
        for second in 0..3 {
            for turn in 0..100 {
                vote.note(1 + turn % 7, 3);
                vote.note(99, 5);
                vote.note(1000 + turn, 1);
            }
            let found = vote.close();
            if second > 0 {
                assert_eq!(found, Busiest { client: 99, commands: 500, of: 900 });
            }
        }
    }

    #[test]
    fn who_is_elected_without_a_majority_is_shown_with_its_true_share() {
        let mut vote = Vote::default();
        for _ in 0..2 {
            vote.close();
            (1..=10).for_each(|client| vote.note(client, 10));
        }
        let found = vote.close();
        assert_eq!((found.commands, found.of), (10, 100));
        assert_eq!(vote.close(), Busiest { client: found.client, ..Busiest::default() });
        assert_eq!(vote.close().client, 0, "in a second without commands nobody is elected");
    }
}
