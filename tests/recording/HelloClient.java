import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import javax.net.ssl.HttpsURLConnection;

/** Asks a URL several times, with HttpClient ("client") or HttpsURLConnection ("url"). */
public class HelloClient {
    public static void main(String[] arguments) {
        for (int count = Integer.parseInt(arguments[2]); count > 0; count--) {
            try {
                if (arguments[0].equals("client")) {
                    HttpClient.newHttpClient().send(
                        HttpRequest.newBuilder(URI.create(arguments[1])).build(),
                        HttpResponse.BodyHandlers.discarding());
                } else {
                    ((HttpsURLConnection) URI.create(arguments[1]).toURL().openConnection())
                        .getResponseCode();
                }
            } catch (Exception expected) {
                // The recorder closes the connection after the hello.
            }
        }
    }
}
