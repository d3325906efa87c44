import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.parser.IParser;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.CodeType;
import org.hl7.fhir.r4.model.MeasureReport;
import org.hl7.fhir.r4.model.Parameters;
import org.hl7.fhir.r4.model.Reference;
import org.hl7.fhir.r4.model.Resource;
import org.hl7.fhir.r4.model.StringType;
import org.hl7.fhir.r4.model.Subscription;

/**
 * A client and receiver of Subscriptions R5 Backport on R4 that knows nothing of the service it speaks to.
 *
 * <p>It reads and writes with HAPI's models alone. Commands come on stdin, one a line; what it did and what it was
 * sent goes to stdout, one JSON object a line.
 */
public final class IndependentClient {
  private static final String BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
  private static final FhirContext R4 = FhirContext.forR4();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final HttpClient HTTP = HttpClient.newHttpClient();

  private final FhirValidator validator = R4.newValidator();
  private final String base;
  private final HttpServer server;
  private volatile boolean up = true;

  private IndependentClient(String base) throws IOException {
    this.base = base;
    FhirInstanceValidator instances =
        new FhirInstanceValidator(
            new ValidationSupportChain(
                new DefaultProfileValidationSupport(R4),
                new InMemoryTerminologyServerValidationSupport(R4),
                new CommonCodeSystemsTerminologyService(R4)));
    instances.setAnyExtensionsAllowed(true);
    instances.setErrorForUnknownProfiles(false);
    validator.registerValidatorModule(instances);
    server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.createContext("/", this::receive);
    server.setExecutor(Executors.newSingleThreadExecutor());
    server.start();
  }

  public static void main(String[] arguments) throws Exception {
    IndependentClient client = new IndependentClient(arguments[0]);
    client.warmUp();
    say("ready", Map.of());
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      String[] words = line.split(" ");
      switch (words[0]) {
        case "subscribe" -> client.subscribe(words[1], words[2], words[3]);
        case "reactivate" -> client.reactivate(words[1]);
        case "status" -> client.status(words[1]);
        case "events" -> client.events(words[1], words[2], words[3]);
        case "down" -> client.switchTo(false);
        case "up" -> client.switchTo(true);
        default -> throw new IllegalArgumentException(line);
      }
    }
    client.server.stop(0);
    System.exit(0);
  }

  private void warmUp() {
    Bundle bundle = new Bundle();
    bundle.setType(Bundle.BundleType.HISTORY);
    validator.validateWithResult(bundle); // the first one loads every definition of R4
  }

  private void switchTo(boolean state) {
    up = state;
    say(state ? "up" : "down", Map.of());
  }

  private void subscribe(String topic, String filter, String level) throws Exception {
    Subscription wanted = new Subscription();
    wanted.setStatus(Subscription.SubscriptionStatus.REQUESTED).setReason("independent client").setCriteria(topic);
    wanted.getCriteriaElement().addExtension(BACKPORT + "backport-filter-criteria", new StringType(filter));
    Subscription.SubscriptionChannelComponent channel = wanted.getChannel();
    channel.setType(Subscription.SubscriptionChannelType.RESTHOOK);
    channel.setEndpoint("http://127.0.0.1:" + server.getAddress().getPort() + "/hook");
    channel.setPayload("application/fhir+json");
    channel.getPayloadElement().addExtension(BACKPORT + "backport-payload-content", new CodeType(level));
    tell("subscribed", send("POST", "Subscription", wanted));
  }

  private void reactivate(String id) throws Exception {
    Subscription found = parser().parseResource(Subscription.class, send("GET", "Subscription/" + id, null).body());
    found.setStatus(Subscription.SubscriptionStatus.REQUESTED);
    tell("asked again", send("PUT", "Subscription/" + id, found));
  }

  private void tell(String what, HttpResponse<String> answer) {
    Subscription found = parser().parseResource(Subscription.class, answer.body());
    say(
        what,
        Map.of(
            "http", answer.statusCode(),
            "id", found.getIdElement().getIdPart(),
            "status", found.getStatus().toCode(),
            "problems", validated(answer.body())));
  }

  private void status(String id) throws Exception {
    HttpResponse<String> answer = send("GET", "Subscription/" + id + "/$status", null);
    Bundle found = parser().parseResource(Bundle.class, answer.body());
    Parameters status = (Parameters) found.getEntryFirstRep().getResource();
    Map<String, Object> out = new LinkedHashMap<>();
    out.put("status", value(status, "status"));
    out.put("since", value(status, "events-since-subscription-start"));
    out.put("problems", validated(answer.body()));
    say("status", out);
  }

  private void events(String id, String first, String last) throws Exception {
    Parameters asked = new Parameters();
    asked.addParameter("eventsSinceNumber", new StringType(first));
    asked.addParameter("eventsUntilNumber", new StringType(last));
    HttpResponse<String> answer = send("POST", "Subscription/" + id + "/$events", asked);
    say("events", read(answer.body()));
  }

  private void receive(HttpExchange exchange) throws IOException {
    String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
    boolean taken = up;
    Map<String, Object> out = new LinkedHashMap<>();
    try {
      out.putAll(read(body));
    } catch (RuntimeException wrong) {
      out.put("problems", List.of("HAPI cannot read it: " + wrong.getMessage()));
    }
    out.put("taken", taken);
    out.put("webhook_id", exchange.getRequestHeaders().getFirst("webhook-id"));
    say("received", out);
    exchange.sendResponseHeaders(taken ? 200 : 503, -1);
    exchange.close();
  }

  /** What a history Bundle tells, and what is wrong with it by R4 and by the guide. */
  private Map<String, Object> read(String text) {
    Bundle bundle = parser().parseResource(Bundle.class, text);
    List<String> problems = validated(text);
    List<Integer> numbers = new ArrayList<>();
    List<String> foci = new ArrayList<>();
    List<String> reports = new ArrayList<>();
    if (bundle.getType() != Bundle.BundleType.HISTORY) {
      problems.add("the Bundle is no history");
    }
    Parameters status = (Parameters) bundle.getEntryFirstRep().getResource();
    if (!status.getMeta().hasProfile(BACKPORT + "backport-subscription-status-r4")) {
      problems.add("the status does not claim its profile");
    }
    for (Parameters.ParametersParameterComponent event : status.getParameter()) {
      if (!event.getName().equals("notification-event")) {
        continue;
      }
      for (Parameters.ParametersParameterComponent part : event.getPart()) {
        if (part.getName().equals("event-number")) {
          numbers.add(Integer.parseInt(part.getValue().primitiveValue()));
        } else if (part.getName().equals("focus")) {
          foci.add(((Reference) part.getValue()).getReferenceElement().toUnqualifiedVersionless().getValue());
        }
      }
    }
    for (Bundle.BundleEntryComponent entry : bundle.getEntry()) {
      if (!entry.hasRequest() || !entry.hasResponse() || !entry.hasFullUrl()) {
        problems.add("an entry lacks request, response or fullUrl");
      }
      if (entry.getResource() instanceof MeasureReport report) {
        reports.add(report.getIdElement().getIdPart() + "/" + report.getMeta().getVersionId());
      }
    }
    Map<String, Object> out = new LinkedHashMap<>();
    out.put("type", value(status, "type"));
    out.put("status", value(status, "status"));
    out.put("since", value(status, "events-since-subscription-start"));
    out.put("numbers", numbers);
    out.put("foci", foci);
    out.put("reports", reports);
    out.put("problems", problems);
    return out;
  }

  private static String value(Parameters status, String name) {
    return status.getParameter(name) == null ? null : status.getParameter(name).getValue().primitiveValue();
  }

  /** What is wrong by R4 with a text as it came: once parsed, a resource has lost what the parser made of it. */
  private List<String> validated(String text) {
    List<String> problems = new ArrayList<>();
    for (SingleValidationMessage each : validator.validateWithResult(text).getMessages()) {
      if (each.getSeverity().ordinal() >= ResultSeverityEnum.ERROR.ordinal()) {
        problems.add(each.getLocationString() + ": " + each.getMessage());
      }
    }
    return problems;
  }

  private HttpResponse<String> send(String method, String path, Resource body) throws Exception {
    HttpRequest.BodyPublisher content =
        body == null
            ? HttpRequest.BodyPublishers.noBody()
            : HttpRequest.BodyPublishers.ofString(parser().encodeResourceToString(body));
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(base + "/" + path))
            .header("Content-Type", "application/fhir+json")
            .header("Accept", "application/fhir+json")
            .method(method, content)
            .build();
    return HTTP.send(request, HttpResponse.BodyHandlers.ofString());
  }

  private static IParser parser() {
    return R4.newJsonParser().setParserErrorHandler(new StrictErrorHandler());
  }

  private static synchronized void say(String did, Map<String, Object> what) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("did", did);
    line.putAll(what);
    try {
      System.out.println(JSON.writeValueAsString(line));
      System.out.flush();
    } catch (IOException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
