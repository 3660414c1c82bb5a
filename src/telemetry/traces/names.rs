//! Names of spans and attributes: the semantic conventions of OpenTelemetry, version 1.44, and ours, which begin with `antispoofd.`.

/// Where the conventions are described.
pub(super) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The scope of all spans.
pub(super) const SCOPE: &str = "antispoofd";

pub(super) const PROCESS: &str = "process";
pub(super) const PUBLISH: &str = "publish";
pub(super) const SEND: &str = "send";
pub(super) const GET_OBJECT: &str = "S3.GetObject";
pub(super) const POST: &str = "POST";

pub(super) const SERVICE_NAME: &str = "service.name";
pub(super) const SERVICE_VERSION: &str = "service.version";
pub(super) const SERVICE_INSTANCE: &str = "service.instance.id";

pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const SERVER_ADDRESS: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";

pub(super) const MESSAGING_SYSTEM: &str = "messaging.system";
pub(super) const RABBITMQ: &str = "rabbitmq";
pub(super) const OPERATION_NAME: &str = "messaging.operation.name";
pub(super) const OPERATION_TYPE: &str = "messaging.operation.type";
pub(super) const DESTINATION: &str = "messaging.destination.name";
pub(super) const ROUTING_KEY: &str = "messaging.rabbitmq.destination.routing_key";
pub(super) const MESSAGE_ID: &str = "messaging.message.id";
pub(super) const CONVERSATION_ID: &str = "messaging.message.conversation_id";
pub(super) const BODY_SIZE: &str = "messaging.message.body.size";
pub(super) const EVENT_TYPE: &str = "cloudevents.event_type";

pub(super) const RPC_SYSTEM: &str = "rpc.system.name";
/// Deprecated, and still what the conventions for S3 require.
pub(super) const RPC_SYSTEM_DEPRECATED: &str = "rpc.system";
pub(super) const AWS_API: &str = "aws-api";
pub(super) const RPC_METHOD: &str = "rpc.method";
pub(super) const RPC_GET_OBJECT: &str = "GetObject";
pub(super) const BUCKET: &str = "aws.s3.bucket";
pub(super) const KEY: &str = "aws.s3.key";
pub(super) const REGION: &str = "cloud.region";

pub(super) const METHOD: &str = "http.request.method";
pub(super) const STATUS: &str = "http.response.status_code";
pub(super) const RESEND_COUNT: &str = "http.request.resend_count";
pub(super) const URL: &str = "url.full";

pub(super) const JOB_ID: &str = "antispoofd.job.id";
pub(super) const ATTEMPT: &str = "antispoofd.job.attempt";
pub(super) const OUTCOME: &str = "antispoofd.outcome";
pub(super) const REUSED: &str = "antispoofd.reused";
pub(super) const FAILURE: &str = "antispoofd.failure.code";
pub(super) const OBJECT_BYTES: &str = "antispoofd.object.bytes";
/// The vendor's own id of a call.
pub(super) const REQUEST_ID: &str = "antispoofd.api.request_id";
pub(super) const PUBLISH_TRIES: &str = "antispoofd.publish.tries";
