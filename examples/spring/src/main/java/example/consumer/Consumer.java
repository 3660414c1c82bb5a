package example.consumer;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.springframework.amqp.AmqpRejectAndDontRequeueException;
import org.springframework.amqp.core.Binding;
import org.springframework.amqp.core.BindingBuilder;
import org.springframework.amqp.core.Declarables;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.core.TopicExchange;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.amqp.ConnectionFactoryCustomizer;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.annotation.Bean;

/** Takes the events of antispoofd: Consumer [COUNT], for ever without COUNT. */
@SpringBootApplication
public class Consumer {
    private static CountDownLatch left;

    private final ObjectMapper json = new ObjectMapper();
    private final Path results;

    Consumer(@Value("${RESULTS_DIR:results}") Path results) throws IOException {
        this.results = Files.createDirectories(results);
    }

    public static void main(String[] arguments) throws InterruptedException {
        left = new CountDownLatch(arguments.length > 0 ? Integer.parseInt(arguments[0]) : Integer.MAX_VALUE);
        var context = new SpringApplicationBuilder(Consumer.class)
                .properties(
                        "spring.main.banner-mode=off",
                        "logging.level.root=error",
                        "spring.rabbitmq.addresses=${AMQP_URL:amqp://guest:guest@127.0.0.1:5672/%2f}",
                        "spring.rabbitmq.listener.simple.prefetch=20",
                        // Acked when the listener has returned; given back when it has thrown, which is what an effect that failed for now needs.
                        "spring.rabbitmq.listener.simple.acknowledge-mode=auto",
                        "spring.rabbitmq.listener.simple.default-requeue-rejected=true")
                .run(arguments);
        left.await();
        // Lets the listener finish, acks, then closes.
        context.close();
    }

    // Spring takes the URL's vhost as it stands there, encoded; getPath decodes it.
    @Bean
    static ConnectionFactoryCustomizer vhost(@Value("${AMQP_URL:amqp://guest:guest@127.0.0.1:5672/%2f}") URI url) {
        return factory -> factory.setVirtualHost(url.getPath().substring(1));
    }

    /** A queue of your own, bound to verdicts and failures. What cannot be read goes to a queue beside it. */
    @Bean
    Declarables queues(@Value("${RESULTS_QUEUE:kyc.results}") String name) {
        TopicExchange exchange = new TopicExchange("antispoof.results");
        // The worker's: only to bind to.
        exchange.setShouldDeclare(false);
        Queue unread = QueueBuilder.durable(name + ".unread").quorum().build();
        Queue queue = QueueBuilder.durable(name).quorum().deadLetterExchange("").deadLetterRoutingKey(unread.getName())
                .withArgument("x-dead-letter-strategy", "at-least-once").withArgument("x-overflow", "reject-publish").build();
        Binding verdicts = BindingBuilder.bind(queue).to(exchange).with("verdict.*");
        Binding failures = BindingBuilder.bind(queue).to(exchange).with("failure.*");
        return new Declarables(unread, queue, verdicts, failures);
    }

    // The whole message: converters do not know application/cloudevents+json.
    @RabbitListener(queues = "${RESULTS_QUEUE:kyc.results}")
    void take(Message message) throws IOException {
        if (left.getCount() == 0) {
            throw new IllegalStateException("has had as many as it was to take");
        }
        try {
            handle(read(message.getBody()));
        } finally {
            left.countDown();
        }
    }

    private JsonNode read(byte[] body) throws IOException {
        try {
            JsonNode event = json.readTree(body);
            if (event != null && event.path("id").isTextual() && event.path("type").isTextual() && event.path("data").isObject()) {
                return event;
            }
        } catch (JacksonException notJson) {
            // As what is no event.
        }
        throw new AmqpRejectAndDontRequeueException("not an event, and it will not become one");
    }

    /**
     * An event may come more than once, always under the same id. So what it does is done once for each id: here a file that bears it, in a database a row with the id as
     * its key, written in one transaction with the effect.
     */
    private void handle(JsonNode event) throws IOException {
        boolean first = store(event);
        String again = first ? "" : " (again)";
        JsonNode data = event.get("data");
        switch (event.get("type").textValue()) {
            case "antispoofd.verdict.v1" -> System.out.println(data.get("job_id").textValue() + " " + data.get("outcome").textValue() + again);
            case "antispoofd.failure.v1" -> {
                JsonNode failure = data.get("failure");
                System.out.println(data.get("job_id").textValue() + " " + failure.get("code").textValue() + again);
                if (first) {
                    System.err.println(advice(failure));
                }
            }
            // Of a later version; what you do not know is not for you.
            default -> System.out.println(event.get("id").textValue() + " " + event.get("type").textValue() + again);
        }
    }

    /** A failure is not a spoof. Whose fault it was is in its class, what to do about it in its code. */
    private static String advice(JsonNode failure) {
        boolean picture = failure.get("class").textValue().equals("permanent") && Set.of("fetch", "inspect", "call").contains(failure.get("stage").textValue());
        String what = picture ? "ask for another picture: " : "for those who run antispoofd; the job is in antispoof.parked and can be replayed: ";
        return what + failure.get("message").textValue();
    }

    /** Whether it was not there yet. Whole or not at all: a link to a finished file is made, which fails where the name is taken. */
    private boolean store(JsonNode event) throws IOException {
        String name = event.get("id").textValue().replace('/', '_');
        Path draft = results.resolve("." + name + "." + ProcessHandle.current().pid());
        Files.write(draft, json.writeValueAsBytes(event));
        try {
            Files.createLink(results.resolve(name + ".json"), draft);
            return true;
        } catch (FileAlreadyExistsException known) {
            return false;
        } finally {
            Files.delete(draft);
        }
    }
}
