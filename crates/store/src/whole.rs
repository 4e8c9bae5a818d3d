//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Puts a file that only its owner may read in the place of whatever is there. When this
/// returns, it and its name are on disk; until then what was there is. Its folder must be
/// there; a failure leaves nothing in it.
pub fn write_whole(path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no folder {}", folder.display())));
    }
    let mut half = path.as_os_str().to_owned();
    half.push(".half");
    let half = Path::new(&half);
    if let Err(error) = write(half, content).and_then(|()| fs::rename(half, path)) {
        // What failed is told; a disk that does not let go of the rest is not news.
        let _ = fs::remove_file(half);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write(path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // It may be one that was left behind.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    content(&mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_could_not_be_written_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.x");
        write_whole(&path, |file| file.write_all(b"old")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(write_whole(&path, |_| Err(io::Error::other("full"))).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of the attempt");
        write_whole(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let refused = write_whole(&missing.join("a.x"), |_| Ok(())).unwrap_err();
        assert!(refused.to_string().contains(missing.to_str().unwrap()), "{refused}");
        assert!(!missing.exists());
    }
}
