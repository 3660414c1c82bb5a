//! Files of certificate authorities, good and bad.

use super::Given;

/// Made for this test; its key was never kept.
pub(super) const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBjDCCATOgAwIBAgIUKgrSGSrGz6UULrWdlGb0Hq2T/IIwCgYIKoZIzj0EAwIw\n\
GzEZMBcGA1UEAwwQYSB0ZXN0IGF1dGhvcml0eTAgFw0yNjExMjMwMzI1MDRaGA8y\n\
MTI2MTAzMDAzMjUwNFowGzEZMBcGA1UEAwwQYSB0ZXN0IGF1dGhvcml0eTBZMBMG\n\
ByqGSM49AgEGCCqGSM49AwEHA0IABLCuXVTRuSTWwRuxUHKpbVi6RIjcsqrs9Wiu\n\
T97BE/veQQwIFxzowcFWEbwIcNPII8bkP/711hCT8qff5d8m+umjUzBRMB0GA1Ud\n\
DgQWBBSYa2bmU7tS91gnWn0j4oqfFOcoFjAfBgNVHSMEGDAWgBSYa2bmU7tS91gn\n\
Wn0j4oqfFOcoFjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIARz\n\
D74yL7XOcLRM5f1jbAuOu9fmyfLydGm7mr2LLukjAiAl5pWCkh76xpGVsilHo9uS\n\
F2KFbgMQ1rwJ0o+tAt0gQg==\n\
-----END CERTIFICATE-----\n\
";

#[track_caller]
fn whats(given: Given, path: &str) -> Vec<String> {
    let given = given.flag("amqp.url", "amqps://rabbit").flag("amqp.ca_file", path);
    match given.load() {
        Ok(loaded) => {
            assert_eq!(loaded.warnings.iter().filter(|warning| warning.key() == "amqp.ca_file").count(), 0);
            Vec::new()
        }
        Err(_) => given.whats(),
    }
}

#[test]
fn a_file_with_authorities_is_read() {
    let given = Given::least();
    let path = given.write("ca.pem", &format!("# ours\n{AUTHORITY}{AUTHORITY}")).display().to_string();
    assert_eq!(whats(given, &path), Vec::<String>::new());
}

#[test]
fn what_is_no_such_file_is_said_at_the_start() {
    let broken = AUTHORITY.replacen("MII", "AAA", 1);
    let cut = AUTHORITY.split_at(AUTHORITY.len() / 2).0;
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (text, wrong) in [
        ("", "has no certificate in it"),
        ("not a certificate", "has no certificate in it"),
        (key, "has no certificate in it"),
        (&broken, "has a certificate that cannot be used, number 1: "),
        (&format!("{AUTHORITY}{broken}"), "has a certificate that cannot be used, number 2: "),
        (&format!("{AUTHORITY}{cut}"), "is not PEM from certificate number 2 on: "),
        (&"#".repeat((1 << 20) + 1), "is larger than 1 MiB"),
    ] {
        let given = Given::least();
        let path = given.write("ca.pem", text).display().to_string();
        let said = whats(given, &path);
        assert!(said.len() == 1 && said[0].starts_with(&format!("amqp.ca_file: {wrong}")), "{wrong}: {said:?}");
    }
}

#[test]
fn a_folder_is_no_file_for_any_key_that_names_one() {
    let folder = std::env::temp_dir().display().to_string();
    for key in ["amqp.ca_file", "amqp.url_file", "api.api_key_file", "api.secret_file", "api.token_file"] {
        let given = Given::least().flag(key, &folder);
        let said = given.whats();
        assert!(said.iter().any(|said| said.contains("cannot be read: Is a directory")), "{key}: {said:?}");
    }
    let given = Given::least().flag("ledger.backend", "redis").flag("ledger.url_file", &folder);
    assert!(given.whats()[0].starts_with("ledger.url: the secret's file cannot be read: "), "{:?}", given.whats());
}
