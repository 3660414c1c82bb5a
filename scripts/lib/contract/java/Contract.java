// networknt's validator with formats asserted: the examples and the cases. Contract ROOT
import com.networknt.schema.InputFormat;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.core.JsonPointer;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

public final class Contract {
    private static final JsonMapper JSON = new JsonMapper();

    private record Question(String kind, String name, boolean valid, JsonNode instance) {}

    public static void main(String[] arguments) throws IOException {
        Path root = Path.of(arguments[0]);
        SchemaRegistry registry = SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12);
        Map<String, Schema> schemas = new HashMap<>();
        for (String kind : List.of("job", "job-event", "notification", "verdict", "failure")) {
            schemas.put(kind, registry.getSchema(Files.readString(root.resolve("contract/" + kind + ".schema.json")), InputFormat.JSON));
        }
        List<Question> asked = questions(root);
        int wrong = 0;
        for (Question question : asked) {
            var errors = schemas.get(question.kind()).validate(question.instance(), run -> run.executionConfig(config -> config.formatAssertionsEnabled(true)));
            if (errors.isEmpty() != question.valid()) {
                wrong++;
                System.err.println(question.kind() + ", " + question.name() + ": " + errors + ": " + question.instance());
            }
        }
        System.out.println(asked.size() + " instances");
        System.exit(wrong == 0 ? 0 : 1);
    }

    private static List<Question> questions(Path root) throws IOException {
        List<Question> all = new ArrayList<>();
        Path examples = root.resolve("contract/examples");
        try (var files = Files.list(examples)) {
            for (Path file : files.sorted().toList()) {
                String name = file.getFileName().toString();
                all.add(new Question(name.equals("event.job.json") ? "job-event" : name.split("\\.")[0], name, true, read(file)));
            }
        }
        for (JsonNode entry : read(root.resolve("tests/it/contract/cases.json"))) {
            JsonNode instance = entry.get("instance");
            if (entry.has("example")) {
                instance = read(examples.resolve(entry.get("example").asString()));
                change(instance, JsonPointer.compile(entry.get("at").asString()), entry.get("to"));
            }
            all.add(new Question(entry.get("schema").asString(), "case " + all.size(), entry.get("valid").asBoolean(), instance));
        }
        return all;
    }

    private static void change(JsonNode event, JsonPointer at, JsonNode to) {
        String last = at.last().getMatchingProperty();
        JsonNode parent = event.at(at.head());
        if (parent instanceof ObjectNode object) {
            object.set(last, to);
        } else {
            ((ArrayNode) parent).set(Integer.parseInt(last), to);
        }
    }

    private static JsonNode read(Path path) {
        return JSON.readTree(path.toFile());
    }
}
