//! Directories for data, and file systems that can be frozen, cut off and filled. What a test that failed was working on is
//! kept and named.

#![expect(unsafe_code, reason = "file systems are frozen and cut off through ioctls")]

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::server::PATIENCE;

/// How many rounds a campaign has: the variable's, or a few.
pub(crate) fn rounds(variable: &str, few: usize) -> usize {
    env::var(variable).map_or(few, |count| count.parse().unwrap_or_else(|_| panic!("{variable}={count}")))
}

/// The seed of a campaign, which is printed.
pub(crate) fn seed(campaign: &str) -> u64 {
    let seed = env::var("TALLYRING_FAULT_SEED").map_or_else(
        |_| SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").subsec_nanos().into(),
        |seed| seed.parse().expect("a seed is a number"),
    );
    eprintln!("{campaign}: TALLYRING_FAULT_SEED={seed}");
    seed
}

/// Where directories are made: in memory if they may be, since a death of the process asks nothing of the device.
fn base() -> PathBuf {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm.into() } else { env!("CARGO_TARGET_TMPDIR").into() }
}

/// A directory of this test alone; removed at the end, unless something was found in it.
pub(crate) struct Place {
    path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::below(&base())
    }

    fn below(base: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("tallyring-faults-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = base.join(name);
        fs::create_dir_all(path.join("data")).expect("the test directory is writable");
        Self { path }
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The data directory as a flag's value.
    pub(crate) fn dir(&self) -> String {
        self.data().display().to_string()
    }

    /// Keeps the log ring as the last server left it: the next one begins another.
    pub(crate) fn note_ring(&self) {
        // There is none before the first start.
        let _none = fs::copy(self.data().join("journal.ring"), self.path.join("ring-before"));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the data is kept in {}", self.path.display());
        } else {
            let _left_over = fs::remove_dir_all(&self.path);
        }
    }
}

/// Runs a program of the system.
#[track_caller]
pub(crate) fn run(program: &str, words: &[&str]) {
    let done = Command::new(program).args(words).output();
    let done = done.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(done.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Whether file systems can be made here. Where they cannot, that is said, and in CI it is a failure.
pub(crate) fn can_mount(test: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    assert!(env::var_os("CI").is_none(), "{test} needs root, and CI has to run it");
    eprintln!("NOT RUN: {test} needs root, to mount a file system of its own");
    false
}

/// Bytes of the image of a file system: with holes.
const IMAGE_BYTES: u64 = 96 << 20;

/// An ext4 of its own on a loop device, whose image lies in memory that is bounded.
pub(crate) struct Volume {
    place: Place,
    /// Holds the space that the image may not have.
    filler: Option<PathBuf>,
}

impl Volume {
    /// Below it are so many MiB of memory.
    pub(crate) fn new(megabytes: u32) -> Self {
        let place = Place::below(env!("CARGO_TARGET_TMPDIR").as_ref());
        let below = place.path.join("below");
        fs::create_dir(&below).expect("a fresh directory is writable");
        let volume = Self { place, filler: None };
        let size = format!("size={megabytes}m");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", text_of(&below)]);
        let image = fs::File::create(volume.image()).expect("a fresh directory is writable");
        image.set_len(IMAGE_BYTES).expect("it may have holes");
        run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=1,nodiscard", text_of(&volume.image())]);
        volume.mount();
        volume
    }

    fn image(&self) -> PathBuf {
        self.place.path.join("below/image")
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.place.data().join("here")
    }

    /// The data directory as a flag's value.
    pub(crate) fn dir(&self) -> String {
        self.data().display().to_string()
    }

    fn mount(&self) {
        run("mount", &["-o", "loop", text_of(&self.image()), text_of(&self.place.data())]);
    }

    fn unmount(&self) {
        let from = self.place.data();
        let deadline = Instant::now() + PATIENCE;
        // A process that was killed may have operations under way for a moment.
        while !succeeds("umount", &[text_of(&from)]) {
            assert!(Instant::now() < deadline, "{} is in use", from.display());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Unmounts and mounts it: what is in memory only is gone.
    pub(crate) fn remount(&self) {
        self.unmount();
        self.mount();
    }

    fn control(&self, request: nix::libc::c_ulong, flag: u32) -> io::Result<()> {
        let root = fs::File::open(self.place.data())?;
        // SAFETY: the descriptor is open for the call, and each of the requests below reads one number, which `flag` is.
        match unsafe { nix::libc::ioctl(root.as_raw_fd(), request, &raw const flag) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Cuts it off from its device (`FS_IOC_SHUTDOWN`). Its own journal may be written before (1) or not (2).
    pub(crate) fn cut(&self, flag: u32) {
        self.control(0x8004_587d, flag).expect("an ext4 can be cut off by root");
    }

    /// Lets nobody write before the value that is returned is dropped (`FIFREEZE`).
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        self.control(0xc004_5877, 0).expect("an ext4 can be frozen by root");
        Frozen(self)
    }

    /// Takes all space of the file system.
    pub(crate) fn fill(&mut self) {
        let path = self.place.data().join("filler");
        take_all(&path);
        self.filler = Some(path);
    }

    /// Takes all space below the file system, which does not know.
    pub(crate) fn fill_below(&mut self) {
        let path = self.place.path.join("below/filler");
        take_all(&path);
        self.filler = Some(path);
    }

    /// Gives back the space.
    pub(crate) fn free(&mut self) {
        let path = self.filler.take().expect("it was filled");
        fs::remove_file(path).expect("it is there");
    }
}

/// A file system that stands still.
pub(crate) struct Frozen<'v>(&'v Volume);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.control(0xc004_5878, 0).expect("it is frozen");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if thread::panicking() {
            let kept = self.place.path.join("kept");
            succeeds("cp", &["-a", text_of(&self.place.data()), text_of(&kept)]);
            succeeds("umount", &["-l", text_of(&self.place.data())]);
        } else {
            self.unmount();
        }
        succeeds("umount", &["-l", text_of(&self.place.path.join("below"))]);
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("our own names are text")
}

/// Writes until there is no space, in smaller and smaller pieces.
fn take_all(path: &Path) {
    let mut file = fs::File::create(path).expect("there is space for a name");
    let mut piece = 1 << 20;
    while piece > 0 {
        match file.write(&vec![1; piece]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => piece /= 4,
            Err(error) => panic!("cannot fill {}: {error}", path.display()),
        }
    }
}

fn succeeds(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|done| done.status.success())
}
