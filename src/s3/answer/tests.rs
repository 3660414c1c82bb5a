use super::*;
use std::time::SystemTime;

fn image(version: Option<&str>) -> ImageRef {
    ImageRef {
        bucket: "kyc-uploads".to_owned(),
        key: "jane.jpg".to_owned(),
        version_id: version.map(str::to_owned),
        etag: None,
        other_key: None,
    }
}

fn headers(set: &[(&'static str, &str)]) -> HeaderMap {
    set.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn refused(status: u16, set: &[(&'static str, &str)], document: &str) -> Refused {
    Refused::of(StatusCode::from_u16(status).unwrap(), &headers(set), Document::parse(document.as_bytes()))
}

#[test]
fn every_answer_has_a_meaning() {
    let (plain, pinned, null) = (image(None), image(Some("1")), image(Some("null")));
    for (status, error, image, code) in [
        (404, "NoSuchKey", &plain, Code::ObjectNotFound),
        (404, "", &plain, Code::ObjectNotFound),
        (404, "NoSuchBucket", &plain, Code::ObjectNotFound),
        (404, "NoSuchVersion", &pinned, Code::ObjectChanged),
        (404, "NoSuchVersion", &null, Code::ObjectNotFound),
        (405, "MethodNotAllowed", &null, Code::StoreUnavailable),
        (405, "MethodNotAllowed", &pinned, Code::ObjectChanged),
        (400, "InvalidArgument", &pinned, Code::ObjectChanged),
        (400, "InvalidArgument", &plain, Code::StoreUnavailable),
        (400, "KeyTooLongError", &plain, Code::MalformedJob),
        (400, "XMinioInvalidObjectName", &pinned, Code::MalformedJob),
        (400, "InvalidURI", &plain, Code::MalformedJob),
        (404, "InvalidURI", &plain, Code::ObjectNotFound),
        (400, "BadRequest", &plain, Code::StoreUnavailable),
        (400, "", &plain, Code::StoreUnavailable),
        (412, "PreconditionFailed", &plain, Code::ObjectChanged),
        (403, "AccessDenied", &plain, Code::ObjectForbidden),
        (403, "InvalidObjectState", &plain, Code::ObjectForbidden),
        (403, "AllAccessDisabled", &plain, Code::ObjectForbidden),
        (400, "KMS.DisabledException", &plain, Code::ObjectForbidden),
        (400, "KMS.NotFoundException", &plain, Code::ObjectForbidden),
        (301, "PermanentRedirect", &plain, Code::StoreUnavailable),
        (307, "TemporaryRedirect", &plain, Code::StoreUnavailable),
        (503, "SlowDown", &plain, Code::StoreUnavailable),
        (503, "XMinioServerNotInitialized", &plain, Code::StoreUnavailable),
        (500, "InternalError", &plain, Code::StoreUnavailable),
        (206, "", &plain, Code::StoreUnavailable),
    ] {
        let refused = Refused::with(status, error);
        let failure = refused.failure(image, "us-east-1");
        assert_eq!(failure.code(), code, "{status} {error}");
        assert_eq!(failure.http_status(), Some(status));
        assert!(failure.message().contains(error), "{}", failure.message());
        assert!(!failure.message().contains("jane"), "{}", failure.message());
        assert_eq!(refused.fault(), None, "{error}");
    }
}

#[test]
fn what_is_about_the_credentials_is_never_about_the_object() {
    for (status, error, fault) in [
        (403, "InvalidAccessKeyId", Fault::UnknownKey),
        (404, "XAdminUserNotFound", Fault::UnknownKey),
        (403, "SignatureDoesNotMatch", Fault::Signature),
        (400, "AuthorizationHeaderMalformed", Fault::Signature),
        (400, "ExpiredToken", Fault::Expired),
        (400, "TokenRefreshRequired", Fault::Expired),
        (400, "RequestExpired", Fault::Expired),
        (400, "InvalidToken", Fault::Token),
        (403, "InvalidTokenId", Fault::Token),
        (403, "RequestTimeTooSkewed", Fault::Clock),
        (403, "NotSignedUp", Fault::Account),
        (403, "UserSuspended", Fault::Account),
    ] {
        let refused = Refused::with(status, error);
        assert_eq!(refused.fault(), Some(fault), "{error}");
        let said = refused.complaint(fault);
        assert!(
            said.ends_with(&format!("({status} {error})")) || said.contains(&format!("({status} {error}):")),
            "{said}"
        );
    }
    // Garage, as its source has it.
    let garage = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Forbidden: No such key: GK31c2</Message></Error>";
    assert_eq!(refused(403, &[], garage).fault(), Some(Fault::UnknownKey));
}

#[test]
fn a_clock_that_is_off_is_said_to_be_off_by_how_much() {
    let at = |seconds: u64| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds));
    let document = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    let behind = refused(403, &[("date", &at(7205))], document);
    let said = behind.complaint(Fault::Clock);
    assert!(said.starts_with("this machine's clock is 2h ") && said.contains(" behind the store's"), "{said}");
    // Where the store does not tell, a signature of another time is only a wrong one.
    let wrong = refused(403, &[("date", &at(7205))], "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    assert!(wrong.blames_the_clock(Fault::Signature));
    let right = refused(403, &[("date", &at(2))], "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    assert!(!right.blames_the_clock(Fault::Signature));
}

#[test]
fn a_bucket_elsewhere_is_said_to_be_where_it_is() {
    let image = image(None);
    // AWS, as its documentation has it.
    let moved = refused(
        301,
        &[("x-amz-bucket-region", "eu-west-3"), ("x-amz-request-id", "1")],
        "<Error><Code>PermanentRedirect</Code><Endpoint>kyc-uploads.s3.eu-west-3.amazonaws.com</Endpoint></Error>",
    );
    let failure = moved.failure(&image, "us-east-1");
    assert_eq!(failure.code(), Code::StoreUnavailable);
    assert!(
        failure.message().starts_with("the bucket is in region eu-west-3, s3.region says us-east-1: set s3.region"),
        "{failure}"
    );
    // versitygw 1.8.0.
    let signed = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-east-1</Region></Error>";
    let signed = refused(400, &[("x-amz-request-id", "1")], signed);
    assert!(signed.elsewhere("eu-west-9").is_some_and(|said| said.contains("in region us-east-1")));
    assert_eq!((signed.elsewhere("us-east-1"), signed.fault()), (None, None), "the region is right");
    let temporary = refused(
        307,
        &[("location", "https://kyc-uploads.s3-us-west-2.amazonaws.com/jane.jpg"), ("x-amz-request-id", "1")],
        "<Error><Code>TemporaryRedirect</Code></Error>",
    );
    let said = temporary.failure(&image, "us-east-1").message().to_owned();
    assert!(said.contains("https://kyc-uploads.s3-us-west-2.amazonaws.com: set"), "{said}");
}

#[test]
fn what_is_no_store_is_not_believed_whatever_it_says() {
    let plain = image(None);
    for (status, set, body) in [
        (404, vec![("content-type", "text/html")], "<html><h1>404 Not Found</h1></html>"),
        (403, vec![("server", "awselb/2.0")], "<html><h1>403 Forbidden</h1></html>"),
        (412, vec![], ""),
        (405, vec![("server", "nginx")], ""),
        (400, vec![], "{\"error\":\"bad request\"}"),
        (401, vec![("www-authenticate", "Basic")], ""),
        (200, vec![("content-type", "text/html")], "<!DOCTYPE html><title>MinIO Console</title>"),
        (302, vec![("location", "https://login.example.com/jane.jpg")], ""),
        (502, vec![], "<html>502 Bad Gateway</html>"),
    ] {
        let refused = refused(status, &set, body);
        assert!(refused.is_no_store(), "{status}");
        let failure = refused.failure(&plain, "us-east-1");
        assert_eq!(failure.code(), Code::StoreUnavailable, "{status}");
        assert!(failure.message().contains("s3.endpoint_url"), "{failure}");
        assert!(!failure.message().contains("jane"), "{failure}");
        assert_eq!(refused.fault(), None);
    }
    // MinIO's console RELEASE.2025-09-07 for a signed request: read as a store's, a pinned version would be gone for good.
    let console = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>InvalidArgument</Code><Message>S3 API Requests must be made to API port.</Message><RequestId>0</RequestId></Error>";
    let console =
        refused(400, &[("location", "http://127.0.0.1:9000"), ("content-type", "text/xml; charset=utf-8")], console);
    let failure = console.failure(&image(Some("1")), "us-east-1");
    assert_eq!(failure.code(), Code::StoreUnavailable);
    assert!(
        failure.message().contains("MinIO's console, whose S3 API is at http://127.0.0.1:9000 (400 InvalidArgument)"),
        "{failure}"
    );
    // S3Mock 5.2.0 and Garage have no request id, moto 5.2.5 no document for a request without a signature.
    let s3mock = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>";
    assert_eq!(refused(404, &[], s3mock).failure(&plain, "us-east-1").code(), Code::ObjectNotFound);
    let moto = refused(403, &[("x-amzn-requestid", "LFkKFxIfDI8SgVEzPhe25zP8PtF0kwLF")], "");
    assert_eq!(moto.failure(&plain, "us-east-1").code(), Code::ObjectForbidden);
}
