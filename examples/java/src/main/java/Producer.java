import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.io.IOException;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeoutException;
import tools.jackson.databind.json.JsonMapper;

/** Publishes jobs to antispoofd: Producer ID KEY [ID KEY …] */
public final class Producer {
    private static final JsonMapper JSON = new JsonMapper();
    private static final long CONFIRM_MILLIS = 30_000;

    private final Channel channel;
    private final Set<String> returned = ConcurrentHashMap.newKeySet();

    private Producer(Channel channel) throws IOException {
        this.channel = channel;
        channel.confirmSelect();
        // A mandatory message that no queue takes comes back, before its confirm.
        channel.addReturnListener(message -> returned.add(message.getProperties().getMessageId()));
    }

    public static void main(String[] arguments) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv().getOrDefault("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f"));
        try (Connection connection = factory.newConnection("antispoofd example"); Channel channel = connection.createChannel()) {
            Producer producer = new Producer(channel);
            for (int next = 0; next + 1 < arguments.length; next += 2) {
                producer.publish(arguments[next], arguments[next + 1]);
                System.out.println("published " + arguments[next]);
            }
        }
    }

    /** Returns when the broker has the job on its disks. After an exception it is safe to publish it again: the same id and image are one job. */
    private void publish(String id, String key) throws IOException, InterruptedException, TimeoutException {
        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
                .contentType("application/json").deliveryMode(2).messageId(id).correlationId(id).build();
        channel.basicPublish("antispoof.jobs", "antispoof.jobs", true, properties, JSON.writeValueAsBytes(Map.of("id", id, "key", key)));
        channel.waitForConfirmsOrDie(CONFIRM_MILLIS);
        if (returned.remove(id)) {
            throw new IOException("no queue takes the job " + id + ": is the topology declared?");
        }
    }
}
