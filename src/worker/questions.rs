//! Questions that only all workers together can answer: asked here, answered by each, summed up here.
//!
//! The asking connection's later requests wait until the last worker has answered (its reply is pending).

use slab::Slab;

use super::{Message, Token, Worker, host, token_of};
use crate::command::client_list::{Question, QuestionKind};
use crate::connection::Phase;
use crate::limits;
use crate::resp::encode::Encoder;

/// A question that is under way.
#[derive(Debug)]
struct Open {
    question: Question,
    /// Who waits for the answer.
    token: Token,
    /// Workers that have not answered.
    awaited: usize,
    matched: u64,
    lines: Vec<u8>,
    /// Tells this question from earlier ones in its slot.
    serial: u32,
}

/// A worker's questions that are under way, at most [`limits::QUESTIONS`].
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: Slab<Open>,
    serial: u32,
}

impl Worker {
    /// Asks all workers. True: the answer is there already and encoded; false: the connection waits.
    pub(super) fn ask(&mut self, token: Token, question: Question) -> bool {
        if question.kind == QuestionKind::Monitor {
            self.expect_monitor();
        }
        let (matched, lines) = self.answer(&question, Some(token));
        let others = self.shared.posts.len() - 1;
        if others == 0 {
            self.conclude_question(token, &question, matched, &lines);
            return self.get(token).is_some_and(|connection| connection.runnable());
        }
        if self.questions.open.len() >= limits::QUESTIONS {
            self.counts.busy_questions += 1;
            if question.kind == QuestionKind::Monitor {
                self.lose_monitor();
            }
            self.conclude_pending(token, |reply| {
                reply.error("ERR too many questions about clients are under way, try again");
            });
            return true;
        }
        self.questions.serial = self.questions.serial.wrapping_add(1);
        let serial = self.questions.serial;
        let open = Open { question: question.clone(), token, awaited: others, matched, lines, serial };
        let slot = self.questions.open.insert(open);
        let ticket = u64::from(serial) << 32 | slot as u64;
        self.connections[token.slot as usize].pending = true;
        let from = self.id;
        for to in (0..self.shared.posts.len()).filter(|to| *to != from) {
            self.post(to, Message::Ask { from, ticket, question: question.clone() });
        }
        false
    }

    /// What this worker's connections have to say to a question: how many match, and their lines. Those to be
    /// killed are closed; the one that asks (`asker`) only behind its reply.
    pub(super) fn answer(&mut self, question: &Question, asker: Option<Token>) -> (u64, Vec<u8>) {
        if question.kind == QuestionKind::Monitor {
            self.begin_watching();
            return (0, Vec::new());
        }
        let mut matched = 0;
        let mut lines = Vec::new();
        let mut killed = Vec::new();
        for (slot, connection) in &mut self.connections {
            let facts = host::client_facts(connection, self.now_ms);
            if connection.phase != Phase::Open || !question.filter.matches(&facts) {
                continue;
            }
            matched += 1;
            let token = token_of(slot, connection);
            match question.kind {
                QuestionKind::List => facts.line(&mut lines),
                QuestionKind::Monitor => unreachable!("it asks nothing of connections"),
                QuestionKind::Kill { .. } if asker == Some(token) => connection.phase = Phase::Finishing,
                QuestionKind::Kill { .. } => {
                    connection.phase = Phase::Closing;
                    killed.push(token);
                }
            }
        }
        for token in killed {
            self.list(token);
        }
        (matched, lines)
    }

    /// Encodes a reply that came later than its request.
    pub(super) fn conclude_pending(&mut self, token: Token, encode: impl FnOnce(&mut Encoder<'_>)) {
        let slot = token.slot as usize;
        self.reply(slot, encode);
        let connection = &mut self.connections[slot];
        if let (Some(outgoing), (number, since @ 1..)) = (&mut connection.outgoing, connection.late) {
            outgoing.mark(number, since);
        }
        let session = &mut connection.session;
        session.silence = session.silence.after();
    }

    /// Another worker has answered a question of ours.
    pub(super) fn handle_answer(&mut self, ticket: u64, matched: u64, lines: &[u8]) {
        let slot = usize::try_from(ticket & u64::from(u32::MAX)).expect("masked to 32 bits");
        let serial = ticket >> 32;
        let Some(open) = self.questions.open.get_mut(slot).filter(|it| u64::from(it.serial) == serial) else {
            debug_assert!(false, "an answer has its question");
            return;
        };
        open.matched += matched;
        open.lines.extend_from_slice(lines);
        open.awaited -= 1;
        if open.awaited > 0 {
            return;
        }
        let Open { question, token, matched, lines, .. } = self.questions.open.remove(slot);
        if let Some(connection) = self.get(token) {
            connection.pending = false;
            self.conclude_question(token, &question, matched, &lines);
            self.resume(token);
        } else if question.kind == QuestionKind::Monitor {
            self.lose_monitor();
        }
    }

    /// Encodes the answer to a question, and does what it was asked for.
    fn conclude_question(&mut self, token: Token, question: &Question, matched: u64, lines: &[u8]) {
        self.conclude_pending(token, |reply| question.answer(matched, lines, reply));
        if question.kind == QuestionKind::Monitor {
            self.begin_monitor(token);
        }
    }
}
