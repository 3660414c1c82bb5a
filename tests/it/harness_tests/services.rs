//! Where the services are, how their addresses are taken apart, and how a metrics page is read.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::link::Link;
use crate::harness::services::{Services, percent_encoded};
use crate::harness::wait::SOON;
use crate::harness::{metrics, ports};

const VARIABLES: [(&str, &str); 6] = [
    ("ANTISPOOF_TEST_AMQP_URL", "amqp://guest:gu%40st@127.0.0.1:17672/%2f"),
    ("ANTISPOOF_TEST_MGMT_URL", "http://guest:guest@127.0.0.1:17673/"),
    ("ANTISPOOF_TEST_S3_ENDPOINT", "http://127.0.0.1:19000"),
    ("ANTISPOOF_TEST_S3_ACCESS_KEY", "access"),
    ("ANTISPOOF_TEST_S3_SECRET_KEY", "secret"),
    ("ANTISPOOF_TEST_REDIS_URL", "redis://:pass@127.0.0.1:17379/3"),
];

#[test]
fn each_missing_variable_is_named_with_what_to_do() {
    for (missing, _) in VARIABLES {
        for nothing in [None, Some(String::new())] {
            let problem = Services::from_lookup(|name| if name == missing { nothing.clone() } else { value(name) });
            let problem = problem.expect_err("a variable is missing");
            assert_eq!(problem, format!("{missing} is not set; run make test, or: eval \"$(scripts/services env)\""));
        }
    }
}

#[test]
fn addresses_are_replaced_and_nothing_else() {
    let services = Services::from_lookup(value).expect("every variable is set");
    assert_eq!(services.amqp_address(), "127.0.0.1:17672");
    assert_eq!(services.amqp_url("127.0.0.1:2", "a/b"), "amqp://guest:gu%40st@127.0.0.1:2/a%2Fb");
    assert_eq!(services.management, "http://127.0.0.1:17673");
    assert_eq!(services.s3_address(), "127.0.0.1:19000");
    assert_eq!(services.redis_address(), "127.0.0.1:17379");
    assert_eq!(services.redis_url("127.0.0.1:3"), "redis://:pass@127.0.0.1:3/3");
}

#[tokio::test]
async fn redis_answers_through_a_link() {
    let services = Services::from_env();
    services.assert_redis().await;
    let link = Link::to(services.redis_address()).await;
    let mut stream = TcpStream::connect(link.addr()).await.expect("the link listens");
    stream.write_all(b"PING\r\n").await.expect("the link is open");
    let mut answer = [0; 7];
    let read = timeout(SOON, stream.read_exact(&mut answer)).await.expect("Redis answers in time");
    read.expect("the link is open");
    assert_eq!(&answer, b"+PONG\r\n");
}

#[tokio::test]
#[should_panic(expected = "run make test, or: eval")]
async fn a_redis_that_is_not_there_fails_the_test() {
    let mut services = Services::from_env();
    services.redis = format!("redis://{}", ports::reserve());
    services.assert_redis().await;
}

#[test]
fn a_path_segment_keeps_only_what_is_safe() {
    assert_eq!(percent_encoded("it-1_a.b~"), "it-1_a.b~");
    assert_eq!(percent_encoded("127.0.0.1:5 -> ü"), "127.0.0.1%3A5%20-%3E%20%C3%BC");
}

#[test]
fn a_metric_is_the_sum_of_the_series_with_these_labels() {
    let page = "# HELP jobs_total jobs\n# TYPE jobs counter\njobs_total{outcome=\"live\",queue=\"a b\"} 3\n\
                jobs_total{queue=\"c\",outcome=\"live\"} 4\njobs_total{outcome=\"spoof\",queue=\"c\"} 5 # {trace=\"1\"} 9\nup 1\n# EOF\n";
    assert_eq!(metrics::sum(page, "jobs_total{outcome=\"live\"}"), Some(7.0));
    assert_eq!(metrics::sum(page, "jobs_total{queue=\"a b\",outcome=\"live\"}"), Some(3.0));
    assert_eq!(metrics::sum(page, "jobs_total"), Some(12.0));
    assert_eq!(metrics::sum(page, "up"), Some(1.0));
    assert_eq!(metrics::sum(page, "jobs_total{outcome=\"review\"}"), None);
    assert_eq!(metrics::sum(page, "jobs"), None);
}

fn value(name: &str) -> Option<String> {
    VARIABLES.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}
