import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.formats.JsonParser;
import org.hl7.fhir.r4.formats.XmlParser;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;

/**
 * Judges FHIR R4 resources by HL7's reference validator and the definitions of a folder, without network.
 *
 * <p>Argument: the folder, with FHIR XML in structuredefinitions/, valuesets/ and codesystems/. Standard input: a JSON
 * object per line, with the <code>text</code> of a resource in JSON or XML. Standard output, a line for each:
 * <code>issues</code> (severity, location, id, message) and, of XML that can be read, <code>json</code>. A code of a
 * system that is not among the definitions (SNOMED CT, dm+d, ODS) cannot be judged, and is at most a warning.
 */
public final class Oracle {

    private record Issue(String severity, String location, String id, String message) {}

    private record Verdict(List<Issue> issues, String json) {}

    public static void main(String[] arguments) throws IOException {
        FhirValidator validator = validator(Path.of(arguments[0]));
        ObjectMapper lines = new ObjectMapper();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String text = lines.readTree(line).get("text").textValue();
            String json = text.stripLeading().startsWith("<") ? toJson(text) : null;
            out.println(lines.writeValueAsString(new Verdict(judge(validator, text), json)));
        }
    }

    private static FhirValidator validator(Path definitions) throws IOException {
        FhirContext fhir = FhirContext.forR4();
        PrePopulatedValidationSupport published = new PrePopulatedValidationSupport(fhir);
        for (String kind : List.of("structuredefinitions", "valuesets", "codesystems")) {
            try (DirectoryStream<Path> files = Files.newDirectoryStream(definitions.resolve(kind), "*.xml")) {
                for (Path file : files) {
                    published.addResource(fhir.newXmlParser().parseResource(Files.readString(file)));
                }
            }
        }
        FhirInstanceValidator module = new FhirInstanceValidator(new ValidationSupportChain(
                published,
                new DefaultProfileValidationSupport(fhir),
                new CommonCodeSystemsTerminologyService(fhir),
                new InMemoryTerminologyServerValidationSupport(fhir),
                new SnapshotGeneratingValidationSupport(fhir)));
        module.setAnyExtensionsAllowed(false);
        module.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
        return fhir.newValidator().registerValidatorModule(module);
    }

    private static List<Issue> judge(FhirValidator validator, String text) {
        try {
            return validator.validateWithResult(text).getMessages().stream().map(Oracle::issue).toList();
        } catch (RuntimeException unreadable) {
            return List.of(new Issue("fatal", "", "unreadable", unreadable.getMessage()));
        }
    }

    private static Issue issue(SingleValidationMessage said) {
        return new Issue(
                said.getSeverity().getCode(), said.getLocationString(), said.getMessageId(), said.getMessage());
    }

    /** The same resource as JSON, or null when it is no FHIR XML. */
    private static String toJson(String xml) {
        try {
            return new JsonParser().composeString(new XmlParser().parse(xml));
        } catch (Exception unreadable) {
            return null;
        }
    }
}
