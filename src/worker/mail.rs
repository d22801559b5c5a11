//! What a worker does about its mail, and how it sends some.

use super::{Message, Worker};
use crate::connection::Phase;

impl Worker {
    /// Somebody rang: reads the mail.
    pub fn handle_mail(&mut self) {
        self.shared.posts[self.id].quiet();
        while let Ok(message) = self.mail.try_recv() {
            match message {
                Message::Deal(dealt) => self.dealt.push_back(dealt),
                Message::Ask { from, ticket, question } => {
                    let (matched, lines) = self.answer(&question, None);
                    self.post(from, Message::Answer { ticket, matched, lines });
                }
                Message::Answer { ticket, matched, lines } => self.handle_answer(ticket, matched, &lines),
                Message::ConfigChanged => self.reload(),
                // The next turn, which this mail has brought about, looks for itself.
                Message::Unpaused => {}
                Message::Saved => self.check_saved(),
                Message::Executed(executed) => self.take_lines(executed),
                // The next turn looks for itself, as above, or is all that is wanted.
                Message::Durable | Message::Watched => {}
                Message::Drain => self.drain(),
                Message::Cut => {
                    self.draining = true;
                    for (_, connection) in &mut self.connections {
                        connection.phase = Phase::Closing;
                    }
                    self.list_all();
                }
            }
        }
    }

    pub(super) fn post(&mut self, to: usize, message: Message) {
        if let Err(message) = self.shared.posts[to].send(message) {
            self.outbox.push_back((to, message));
        }
    }
}
