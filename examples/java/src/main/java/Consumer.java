import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Takes the events of antispoofd: Consumer [COUNT], for ever without COUNT. */
public final class Consumer {
    private static final JsonMapper JSON = new JsonMapper();
    private static final String QUEUE = System.getenv().getOrDefault("RESULTS_QUEUE", "kyc.results");
    private static final Path RESULTS = Path.of(System.getenv().getOrDefault("RESULTS_DIR", "results"));
    private static final int PREFETCH = 20;

    public static void main(String[] arguments) throws Exception {
        int count = arguments.length > 0 ? Integer.parseInt(arguments[0]) : Integer.MAX_VALUE;
        Files.createDirectories(RESULTS);
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv().getOrDefault("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f"));
        // The client would connect again by itself, with the deliveries of the old channel still in hand here; a supervisor that starts this process anew is simpler.
        factory.setAutomaticRecoveryEnabled(false);
        try (Connection connection = factory.newConnection("antispoofd example"); Channel channel = connection.createChannel()) {
            declare(channel);
            channel.basicQos(PREFETCH);
            // The client's thread only passes on; an exception there would close the channel without a word here.
            BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
            channel.basicConsume(QUEUE, false, (tag, delivery) -> deliveries.add(delivery), tag -> fail(QUEUE + " is gone"),
                    (tag, signal) -> { if (!signal.isInitiatedByApplication()) fail(signal.getMessage()); });
            for (int taken = 0; taken < count; taken++) {
                take(channel, deliveries.take());
            }
        }
    }

    private static void fail(String why) {
        System.err.println(why);
        Runtime.getRuntime().halt(1);
    }

    /** A queue of your own, bound to verdicts and failures. What cannot be read goes to a queue beside it. */
    private static void declare(Channel channel) throws IOException {
        channel.queueDeclare(QUEUE + ".unread", true, false, false, Map.of("x-queue-type", "quorum"));
        channel.queueDeclare(QUEUE, true, false, false, Map.of("x-queue-type", "quorum", "x-dead-letter-exchange", "",
                "x-dead-letter-routing-key", QUEUE + ".unread", "x-dead-letter-strategy", "at-least-once", "x-overflow", "reject-publish"));
        channel.queueBind(QUEUE, "antispoof.results", "verdict.*");
        channel.queueBind(QUEUE, "antispoof.results", "failure.*");
    }

    private static void take(Channel channel, Delivery delivery) throws IOException {
        long tag = delivery.getEnvelope().getDeliveryTag();
        JsonNode event = read(delivery.getBody());
        if (event == null) {
            // It will not become an event: to the queue beside, for somebody to look at.
            channel.basicReject(tag, false);
            return;
        }
        handle(event);
        // Only now: if this process dies before, the event is delivered again.
        channel.basicAck(tag, false);
    }

    private static JsonNode read(byte[] body) {
        try {
            JsonNode event = JSON.readTree(body);
            return event.path("id").isString() && event.path("type").isString() && event.path("data").isObject() ? event : null;
        } catch (JacksonException notJson) {
            return null;
        }
    }

    /**
     * An event may come more than once, always under the same id. So what it does is done once for each id: here a file that bears it, in a database a row with the id as
     * its key, written in one transaction with the effect.
     */
    private static void handle(JsonNode event) throws IOException {
        boolean first = store(event);
        String again = first ? "" : " (again)";
        JsonNode data = event.get("data");
        switch (event.get("type").asString()) {
            case "antispoofd.verdict.v1" -> System.out.println(data.get("job_id").asString() + " " + data.get("outcome").asString() + again);
            case "antispoofd.failure.v1" -> {
                JsonNode failure = data.get("failure");
                System.out.println(data.get("job_id").asString() + " " + failure.get("code").asString() + again);
                if (first) {
                    System.err.println(advice(failure));
                }
            }
            // Of a later version; what you do not know is not for you.
            default -> System.out.println(event.get("id").asString() + " " + event.get("type").asString() + again);
        }
    }

    /** A failure is not a spoof. Whose fault it was is in its class, what to do about it in its code. */
    private static String advice(JsonNode failure) {
        boolean picture = failure.get("class").asString().equals("permanent") && Set.of("fetch", "inspect", "call").contains(failure.get("stage").asString());
        String what = picture ? "ask for another picture: " : "for those who run antispoofd; the job is in antispoof.parked and can be replayed: ";
        return what + failure.get("message").asString();
    }

    /** Whether it was not there yet. Whole or not at all: a link to a finished file is made, which fails where the name is taken. */
    private static boolean store(JsonNode event) throws IOException {
        String name = event.get("id").asString().replace('/', '_');
        Path draft = RESULTS.resolve("." + name + "." + ProcessHandle.current().pid());
        Files.write(draft, JSON.writeValueAsBytes(event));
        try {
            Files.createLink(RESULTS.resolve(name + ".json"), draft);
            return true;
        } catch (FileAlreadyExistsException known) {
            return false;
        } finally {
            Files.delete(draft);
        }
    }
}
