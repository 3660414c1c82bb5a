//! Tokens: printed, decoded, refused.

use super::*;

#[test]
fn the_token_alone_is_on_stdout() {
    let output = run(&["token"], &KEYS);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let token = stdout(&output);
    assert_eq!(token.lines().count(), 1);
    assert_eq!(token.trim_end().split('.').count(), 3, "{token}");
    let said = stderr(&output);
    assert!(said.contains("exp: ") && said.contains("(in 30m)") && said.contains("roles: [\"crawler\"]"), "{said}");
    assert!(!said.contains("the-api-key") && !said.contains(token.trim_end()), "{said}");
}

#[test]
fn a_ready_made_token_is_decoded() {
    // {"exp":1} with nothing that would verify.
    let expired = ("ANTISPOOFD__API__TOKEN", "e30.eyJleHAiOjF9.AAAA");
    let output = run(&["token"], &[expired]);
    assert_eq!((output.status.code(), stdout(&output).trim_end()), (Some(0), expired.1));
    let said = stderr(&output);
    assert!(said.contains("1970-01-01T00:00:01Z") && said.contains("has expired"), "{said}");
}

#[test]
fn a_token_that_has_expired_keeps_the_worker_from_starting() {
    let arguments = ["--set", "s3.buckets=kyc-uploads"];
    let expired = ("ANTISPOOFD__API__TOKEN", "e30.eyJleHAiOjF9.AAAA");
    for command in ["run", "check"] {
        let output = run(&[&[command][..], &arguments].concat(), &[expired]);
        let said = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(78), ""), "{command}: {said}");
        for part in
            ["error: api.token: has expired: 1970-01-01T00:00:01Z (", "ANTISPOOFD__API__TOKEN", "api.secret instead"]
        {
            assert!(said.contains(part), "{command}: {part}: {said}");
        }
        assert!(!said.contains(expired.1), "{said}");
    }

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), expired.1).expect("written");
    let named = format!("api.token_file={}", file.path().display());
    let output = run(&[&["check", "--set", &named][..], &arguments].concat(), &[]);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
    assert!(stderr(&output).contains("until the file holds another"), "{}", stderr(&output));
    assert!(stdout(&output).contains("failed  token     api.token (secret file "), "{}", stdout(&output));
}
