//! Changes a file that others may change at the same time, by programs that lock it and by editors that do not.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;

/// How often a change is begun anew because somebody else has changed the file meanwhile.
const TRIES: usize = 5;
/// How long others may hold the lock, who hold it for some milliseconds each.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether the lock is free.
const PAUSE: Duration = Duration::from_millis(10);

/// What is in the file; none if there is no file.
pub(super) fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts what `change` makes of the file's text in the place of it; a file that is not there has none. Of all who call this
/// for one folder at a time nobody's change is lost, if the folder can be locked; nor is what anybody else has written, up to a
/// moment before the end, since then `change` is asked again. The error of `change` leaves the file as it is.
pub(super) fn amend(file: &Path, change: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<()> {
    let lock = lock(file)?;
    let temporary = temporary(file, lock.as_ref())?;
    for _ in 0..TRIES {
        let old = read(file)?;
        let new = change(old.as_deref().unwrap_or_default())?;
        if replace(file, &temporary, old.as_deref(), &new)? {
            return Ok(());
        }
    }
    anyhow::bail!("somebody else keeps changing it; nothing of it was changed here");
}

/// Keeps out all others who change a file in this folder, until it is dropped. It is the folder that is locked: the file itself
/// is another one each time, and a file for the lock alone would be left over. None where that cannot be locked at all.
fn lock(file: &Path) -> anyhow::Result<Option<File>> {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let lock = match File::open(folder) {
        Ok(lock) => lock,
        // It takes no right to read a folder to put a file into it.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", folder.display())),
    };
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(lock)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => anyhow::bail!("others have held the lock for {PATIENCE:?}"),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", folder.display()));
            }
        }
    }
}

/// Whether the file system says that it locks nothing, or nothing that is only read, as a folder is (NFS).
fn has_no_locks(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EBADF | Errno::ENOLCK | Errno::EOPNOTSUPP))
}

/// Where the new text is written before it takes the file's place. Of all who have the lock there is one: what is there was left
/// by one who was killed, and is removed. Without the lock it may be somebody's, and each process has a name of its own.
fn temporary(file: &Path, lock: Option<&File>) -> io::Result<PathBuf> {
    let name = file.file_name().ok_or(ErrorKind::InvalidFilename)?.to_string_lossy();
    if lock.is_none() {
        return Ok(file.with_file_name(format!(".{name}.{}.new", std::process::id())));
    }
    let temporary = file.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(temporary),
    }
}

/// Puts a file with the text `new` in the place of one whose text is still `old`, with its owner and its rights; says whether
/// it was. There is the old one or the new one at any time, and never half of one.
fn replace(file: &Path, temporary: &Path, old: Option<&str>, new: &str) -> anyhow::Result<bool> {
    let before = match fs::metadata(file) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    // Hashes are for nobody else.
    let mut options = OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o600).open(temporary);
    let mut written = written.with_context(|| format!("cannot make {}", temporary.display()))?;
    let result = (|| {
        written.write_all(new.as_bytes())?;
        if let Some(before) = &before {
            let own = written.metadata()?;
            if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
                fchown(&written, Some(before.uid()), Some(before.gid()))?;
            }
            written.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
        }
        written.sync_all()?;
        let is_same = read(file)?.as_deref() == old;
        if is_same {
            fs::rename(temporary, file)?;
        }
        Ok(is_same)
    })();
    if !matches!(result, Ok(true)) {
        // The error that counts is the first one.
        let _ = fs::remove_file(temporary);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("our own folder");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
    }

    #[test]
    fn what_an_editor_writes_meanwhile_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("x");
        // The file is made by somebody else, then changed, then removed, in the middle of a change.
        for (before, edited) in [(None, Some("edited")), (Some("old"), Some("edited")), (Some("old"), None)] {
            let write = |text: Option<&str>| match text {
                Some(text) => fs::write(&file, text).expect("our own folder"),
                None => fs::remove_file(&file).expect("it is there"),
            };
            // Left by the round before.
            let _ = fs::remove_file(&file);
            if before.is_some() {
                write(before);
            }
            let has_edited = std::cell::Cell::new(false);
            amend(&file, |text| {
                if !has_edited.replace(true) {
                    write(edited);
                }
                Ok(format!("{text}, added"))
            })
            .expect("only once in the way");
            let expected = format!("{}, added", edited.unwrap_or_default());
            assert_eq!(fs::read_to_string(&file).expect("our own file"), expected, "{before:?}");
            assert_eq!(names(folder.path()), ["x"]);
        }
    }

    #[test]
    fn who_keeps_changing_the_file_keeps_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("x");
        fs::write(&file, "old").expect("our own folder");
        let result = amend(&file, |text| {
            fs::write(&file, format!("{text}+")).expect("our own folder");
            Ok("added".to_owned())
        });
        let error = result.expect_err("never the same");
        assert_eq!(error.to_string(), "somebody else keeps changing it; nothing of it was changed here");
        assert_eq!(fs::read_to_string(&file).expect("our own file"), "old+++++");
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn what_one_that_was_killed_has_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("x");
        fs::write(folder.path().join(".x.new"), "half of").expect("our own folder");
        amend(&file, |_| Ok("added".to_owned())).expect("nobody else");
        assert_eq!(fs::read_to_string(&file).expect("our own file"), "added");
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn where_nothing_can_be_locked_nobodys_file_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("x");
        let others = folder.path().join(".x.new");
        fs::write(&others, "half of").expect("our own folder");
        let own = temporary(&file, None).expect("a name");
        assert!(replace(&file, &own, None, "added").expect("nobody else"));
        assert_eq!(fs::read_to_string(&file).expect("our own file"), "added");
        assert_eq!(fs::read_to_string(&others).expect("still there"), "half of");
        // One that has the same name is told of, and stays.
        fs::write(&own, "half of").expect("our own folder");
        let error = replace(&file, &own, Some("added"), "more").expect_err("not its own");
        assert!(error.to_string().contains(&format!(".x.{}.new", std::process::id())), "{error}");
        assert_eq!(fs::read_to_string(&own).expect("still there"), "half of");
        assert_eq!(fs::read_to_string(&file).expect("our own file"), "added");
    }

    #[test]
    fn only_a_folder_that_cannot_be_locked_is_not() {
        let has_no_locks = |errno: Errno| has_no_locks(&io::Error::from_raw_os_error(errno as i32));
        assert!([Errno::EBADF, Errno::ENOLCK, Errno::EOPNOTSUPP].into_iter().all(has_no_locks));
        assert!(![Errno::EIO, Errno::ENOENT, Errno::EINTR].into_iter().any(has_no_locks));
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(lock(&folder.path().join("x")).expect("our own folder").is_some());
        assert!(lock(&folder.path().join("gone/x")).is_err());
    }

    #[test]
    fn a_lock_is_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("x");
        let held = lock(&file).expect("nobody else");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| amend(&file, |_| Ok("added".to_owned())));
            std::thread::sleep(5 * PAUSE);
            assert!(!file.exists());
            drop(held);
            waiting.join().expect("no panic").expect("free");
        });
        assert!(file.exists());
    }
}
