//! Secrets whose files are written anew.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::super::RotatingSecret;
use super::super::invalid::InvalidValue;
use super::super::secrets::file::{Given, SecretFile};

fn no_spaces(text: &str) -> Result<(), InvalidValue> {
    if text.contains(' ') { Err(InvalidValue::new("has a space", "remove it")) } else { Ok(()) }
}

fn of_file(path: &Path) -> RotatingSecret {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let file = SecretFile { key: "api.secret_file".to_owned(), path: path.to_owned() };
    RotatingSecret::given(Given { text, file: Some(file) }, no_spaces)
}

fn text(secret: &RotatingSecret) -> String {
    secret.now().expose_secret().to_owned()
}

#[test]
fn a_secret_is_replaced_by_another_good_one_and_by_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, "first").expect("written");
    let secret = of_file(&path);
    let clone = secret.clone();
    assert!(!secret.reread(), "it is the same");
    for bad in ["", "  \n", "two words"] {
        std::fs::write(&path, bad).expect("written");
        assert!(!secret.reread(), "{bad:?}");
        assert_eq!((text(&secret), secret.generation()), ("first".to_owned(), 0), "{bad:?}");
    }
    std::fs::write(&path, [0xFF, 0xFE]).expect("written");
    assert!(!secret.reread(), "no text");
    std::fs::remove_file(&path).expect("removed");
    assert!(!secret.reread(), "no file");
    std::fs::write(&path, "second\n").expect("written");
    assert!(secret.reread());
    assert_eq!((text(&clone), clone.generation()), ("second".to_owned(), 1), "a clone has it, too");
    assert!(!clone.reread());
}

/// As the kubelet does: the file is a link into a folder that is a link, and that one is replaced by renaming.
#[test]
fn a_volume_that_kubernetes_swaps_is_seen_although_times_and_names_stay() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(24);
    for (version, text) in [("..1", "first"), ("..2", "third")] {
        std::fs::create_dir(at(version)).expect("made");
        std::fs::write(at(version).join("secret"), text).expect("written");
        let file = std::fs::File::options().write(true).open(at(version).join("secret")).expect("opened");
        file.set_modified(old).expect("dated");
    }
    symlink("..1", at("..data")).expect("linked");
    symlink("..data/secret", at("secret")).expect("linked");
    let secret = of_file(&at("secret"));
    symlink("..2", at("..data_tmp")).expect("linked");
    std::fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
    assert!(secret.reread());
    assert_eq!(text(&secret), "third");
}

#[test]
fn what_is_no_file_is_not_read_again() {
    let fixed = RotatingSecret::fixed("x");
    assert!(!fixed.reread() && fixed.path().is_none());
    let device = of_file(Path::new("/dev/null"));
    assert!(!device.reread() && device.path().is_none());
}
