//! What an operator does to a Redis.

use super::services::{HINT, Services};

/// Runs a command on the Redis of these services.
///
/// # Panics
///
/// When it cannot be reached, or refuses the command.
pub(crate) async fn command(services: &Services, words: &[&str]) {
    let client = redis::Client::open(services.redis.as_str()).expect("the address of a Redis");
    let connection = client.get_multiplexed_async_connection().await;
    let mut connection =
        connection.unwrap_or_else(|problem| panic!("no Redis at {} ({problem}); {HINT}", services.redis));
    let (name, arguments) = words.split_first().expect("a command has a name");
    let answer = redis::cmd(name).arg(arguments).query_async::<redis::Value>(&mut connection).await;
    answer.unwrap_or_else(|problem| panic!("Redis refuses {words:?}: {problem}"));
}
