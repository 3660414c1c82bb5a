//! The broker's management API: virtual hosts, permissions, connections, figures.

use std::thread;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::super::http;
use super::super::services::{HINT, Services, percent_encoded};

/// The management API, as the user of the AMQP URL.
#[derive(Clone, Debug)]
pub(super) struct Management {
    base: String,
    user: String,
    password: String,
    http: Client,
}

impl Management {
    pub(super) fn new(services: &Services) -> Self {
        let user = &services.amqp.authority.userinfo;
        Self {
            base: services.management.clone(),
            user: user.username.clone(),
            password: user.password.clone(),
            http: http::client(),
        }
    }

    /// Makes a virtual host in which the user may do everything.
    pub(super) async fn create_vhost(&self, vhost: &str) {
        self.expect(Method::PUT, &format!("vhosts/{}", percent_encoded(vhost)), json!({})).await;
        self.set_permissions(vhost, ".*", ".*", ".*").await;
    }

    /// Makes a user who has these permissions (regular expressions) in the virtual host, and none in another.
    pub(super) async fn create_user(&self, vhost: &str, user: &str, password: &str, tag: &str, rights: [&str; 3]) {
        let user = percent_encoded(user);
        self.expect(Method::PUT, &format!("users/{user}"), json!({ "password": password, "tags": tag })).await;
        let path = format!("permissions/{}/{user}", percent_encoded(vhost));
        let [configure, write, read] = rights;
        self.expect(Method::PUT, &path, json!({ "configure": configure, "write": write, "read": read })).await;
    }

    /// Gives the user these permissions (regular expressions) in place of the present ones.
    pub(super) async fn set_permissions(&self, vhost: &str, configure: &str, write: &str, read: &str) {
        let path = format!("permissions/{}/{}", percent_encoded(vhost), percent_encoded(&self.user));
        self.expect(Method::PUT, &path, json!({ "configure": configure, "write": write, "read": read })).await;
    }

    /// Deletes a policy.
    pub(super) async fn clear_policy(&self, vhost: &str, name: &str) {
        let path = format!("policies/{}/{}", percent_encoded(vhost), percent_encoded(name));
        self.expect(Method::DELETE, &path, Value::Null).await;
    }

    /// Makes a policy, or an operator policy, for what matches `pattern` in the virtual host.
    pub(super) async fn set_policy(&self, vhost: &str, kind: &str, name: &str, pattern: &str, definition: Value) {
        let path = format!("{kind}/{}/{}", percent_encoded(vhost), percent_encoded(name));
        let to = if kind == "operator-policies" { "queues" } else { "all" };
        let policy = json!({ "pattern": pattern, "definition": definition, "apply-to": to, "priority": 0 });
        self.expect(Method::PUT, &path, policy).await;
    }

    /// Names of the virtual host's queues.
    pub(super) async fn queues(&self, vhost: &str) -> Vec<String> {
        let path = format!("queues/{}?disable_stats=true&enable_queue_totals=true", percent_encoded(vhost));
        names(&self.expect(Method::GET, &path, Value::Null).await)
    }

    /// Everything the API says about a queue. The figures in it are sampled: up to five seconds old.
    pub(super) async fn queue(&self, vhost: &str, queue: &str) -> Value {
        let path = format!("queues/{}/{}", percent_encoded(vhost), percent_encoded(queue));
        self.expect(Method::GET, &path, Value::Null).await
    }

    /// The virtual host's connections by their names, with the name the client gave itself. The list is sampled, too.
    pub(super) async fn connections(&self, vhost: &str) -> Vec<(String, String)> {
        let listed = self.listed(vhost).await;
        listed.iter().filter_map(|one| Some((one["name"].as_str()?.to_owned(), given_name(one)))).collect()
    }

    /// The largest frames, in bytes, that the virtual host's connections have agreed on, by the name that the client gave itself.
    pub(super) async fn frame_sizes(&self, vhost: &str) -> Vec<(String, u64)> {
        let listed = self.listed(vhost).await;
        listed.iter().filter_map(|one| Some((given_name(one), one["frame_max"].as_u64()?))).collect()
    }

    async fn listed(&self, vhost: &str) -> Vec<Value> {
        let path = format!("vhosts/{}/connections", percent_encoded(vhost));
        let listed = self.expect(Method::GET, &path, Value::Null).await;
        listed.as_array().expect("the API lists connections").clone()
    }

    /// Closes a connection from the broker's side. False when it was gone.
    pub(super) async fn close_connection(&self, name: &str) -> bool {
        let path = format!("connections/{}", percent_encoded(name));
        let (status, body) = self.ask(Method::DELETE, &path, Value::Null).await;
        // One that ends by itself at this very moment makes the API stumble.
        let gone = status == StatusCode::NOT_FOUND || status.is_server_error();
        assert!(status.is_success() || gone, "DELETE {path}: {status} {body}");
        status.is_success()
    }

    /// Deletes a virtual host with all that is in it, and users, from a place that cannot await.
    pub(super) fn delete_blocking(&self, vhost: &str, users: &[String]) {
        // A client of its own: the pooled connections of ours belong to the test's runtime, which waits for this thread.
        let management = Self { http: http::client(), ..self.clone() };
        let mut paths = vec![format!("vhosts/{}", percent_encoded(vhost))];
        paths.extend(users.iter().map(|user| format!("users/{}", percent_encoded(user))));
        let deleting = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be built").block_on(async {
                for path in paths {
                    drop(http::answer(management.request(Method::DELETE, &path)).await);
                }
            });
        });
        // What could not be deleted is litter in a broker that is thrown away, and no reason to fail.
        drop(deleting.join());
    }

    async fn expect(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, text) = self.ask(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path} of the management API: {status} {text}");
        if text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&text).unwrap_or_else(|problem| panic!("{path} answers JSON ({problem}): {text}"))
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, String) {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        http::answer(request)
            .await
            .unwrap_or_else(|problem| panic!("the management API does not answer at {} ({problem}); {HINT}", self.base))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/api/{path}", self.base)).basic_auth(&self.user, Some(&self.password))
    }
}

fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("the API lists things that have names").iter();
    list.filter_map(|thing| Some(thing["name"].as_str()?.to_owned())).collect()
}

fn given_name(connection: &Value) -> String {
    connection["client_properties"]["connection_name"].as_str().unwrap_or_default().to_owned()
}
