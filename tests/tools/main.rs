//! The tools, tried from outside: `check`, `dump`, `backup` and `import` on directories of servers that this test starts.

mod backup;
mod check;
mod dump;
mod import;
mod stage;
