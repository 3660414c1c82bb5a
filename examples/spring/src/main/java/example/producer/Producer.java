package example.producer;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessageBuilder;
import org.springframework.amqp.rabbit.connection.CorrelationData;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.amqp.ConnectionFactoryCustomizer;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.annotation.Bean;

/** Publishes jobs to antispoofd: Producer ID KEY [ID KEY …] */
@SpringBootApplication
public class Producer implements CommandLineRunner {
    private static final long CONFIRM_SECONDS = 30;

    private final RabbitTemplate template;
    private final ObjectMapper json = new ObjectMapper();

    Producer(RabbitTemplate template) {
        this.template = template;
    }

    public static void main(String[] arguments) {
        new SpringApplicationBuilder(Producer.class)
                .properties(
                        "spring.main.banner-mode=off",
                        "logging.level.root=warn",
                        "spring.rabbitmq.addresses=${AMQP_URL:amqp://guest:guest@127.0.0.1:5672/%2f}",
                        // Without these three a job that no queue takes is lost without a word.
                        "spring.rabbitmq.publisher-confirm-type=correlated",
                        "spring.rabbitmq.publisher-returns=true",
                        "spring.rabbitmq.template.mandatory=true")
                .run(arguments)
                .close();
    }

    // Spring takes the URL's vhost as it stands there, encoded; getPath decodes it.
    @Bean
    static ConnectionFactoryCustomizer vhost(@Value("${AMQP_URL:amqp://guest:guest@127.0.0.1:5672/%2f}") URI url) {
        return factory -> factory.setVirtualHost(url.getPath().substring(1));
    }

    @Override
    public void run(String... arguments) throws Exception {
        for (int next = 0; next + 1 < arguments.length; next += 2) {
            publish(arguments[next], arguments[next + 1]);
            System.out.println("published " + arguments[next]);
        }
    }

    /** Returns when the broker has the job on its disks. After an exception it is safe to publish it again: the same id and image are one job. */
    private void publish(String id, String key) throws Exception {
        // Not convertAndSend with a class of yours: its converter would add a header with the class's name. Messages are persistent by default.
        Message job = MessageBuilder.withBody(json.writeValueAsBytes(Map.of("id", id, "key", key)))
                .setContentType("application/json").setMessageId(id).setCorrelationId(id).build();
        CorrelationData publish = new CorrelationData(id);
        template.send("antispoof.jobs", "antispoof.jobs", job, publish);
        var confirm = publish.getFuture().get(CONFIRM_SECONDS, TimeUnit.SECONDS);
        if (!confirm.isAck()) {
            throw new IllegalStateException("the broker refused the job " + id + ": " + confirm.getReason());
        }
        if (publish.getReturned() != null) {
            throw new IllegalStateException("no queue takes the job " + id + ": is the topology declared?");
        }
    }
}
