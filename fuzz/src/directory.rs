//! A directory in memory, for the journal's and the snapshots' readers and writers. Nothing fails there, and all is durable
//! at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use tallyring::journal::disk::{Action, Disk, Failure};

/// There is no such file (`ENOENT`).
const MISSING: i32 = 2;

/// An open file, whatever it is called meanwhile.
pub type Open = Rc<RefCell<Vec<u8>>>;

/// The directory. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Directory(Rc<RefCell<BTreeMap<String, Open>>>);

impl Directory {
    /// Puts a file in place.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.0.borrow_mut().insert(name.to_owned(), Rc::new(RefCell::new(bytes)));
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.borrow()[name].borrow().clone()
    }

    /// Another directory with the same files.
    pub fn copy(&self) -> Self {
        let copy = Self::default();
        self.0.borrow().iter().for_each(|(name, file)| copy.put(name, file.borrow().clone()));
        copy
    }

    fn missing(&self, action: Action, name: &str) -> Failure {
        Failure { action, path: self.path(name), offset: 0, errno: MISSING }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("64 bits")
}

fn write(file: &Open, bytes: &[u8], offset: u64) {
    let (mut content, at) = (file.borrow_mut(), place(offset));
    let end = content.len().max(at + bytes.len());
    content.resize(end, 0);
    content[at..][..bytes.len()].copy_from_slice(bytes);
}

impl Disk for Directory {
    type File = Open;

    fn names(&self) -> Result<Vec<String>, Failure> {
        Ok(self.0.borrow().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> Result<Open, Failure> {
        self.put(name, Vec::new());
        self.open(name)
    }

    fn open(&self, name: &str) -> Result<Open, Failure> {
        self.0.borrow().get(name).cloned().ok_or_else(|| self.missing(Action::Open, name))
    }

    fn len(&self, file: &Open) -> Result<u64, Failure> {
        Ok(file.borrow().len() as u64)
    }

    fn read_at(&self, file: &Open, out: &mut [u8], offset: u64) -> Result<usize, Failure> {
        let content = file.borrow();
        let rest = content.get(place(offset)..).unwrap_or_default();
        let read = rest.len().min(out.len());
        out[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, file: &Open, bytes: &[u8], offset: u64) -> Result<usize, Failure> {
        write(file, bytes, offset);
        Ok(bytes.len())
    }

    fn allocate(&self, file: &Open, offset: u64, bytes: u64) -> Result<(), Failure> {
        let (mut content, end) = (file.borrow_mut(), place(offset + bytes));
        let longer = content.len().max(end);
        content.resize(longer, 0);
        Ok(())
    }

    fn shorten(&self, file: &Open, bytes: u64) -> Result<(), Failure> {
        file.borrow_mut().truncate(place(bytes));
        Ok(())
    }

    fn sync(&self, _: &Open) -> Result<(), Failure> {
        Ok(())
    }

    fn sync_names(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        let mut names = self.0.borrow_mut();
        let file = names.remove(from).ok_or_else(|| self.missing(Action::Rename, from))?;
        names.insert(to.to_owned(), file);
        Ok(())
    }

    fn set_name(&self, _: &mut Open, _: &str) {}

    fn remove(&self, name: &str) -> Result<(), Failure> {
        let removed = self.0.borrow_mut().remove(name);
        removed.map(drop).ok_or_else(|| self.missing(Action::Remove, name))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/memory").join(name)
    }
}
