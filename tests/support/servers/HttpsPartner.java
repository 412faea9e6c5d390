import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import java.io.FileInputStream;
import java.net.InetSocketAddress;
import java.security.KeyStore;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;

/** An HTTPS server with the versions, suites and PKCS#12 stores that its arguments name: ADDRESS PORT PASSWORD VERSIONS SUITES STORE... */
public final class HttpsPartner {
    private static final byte[] BODY = "accepted\n".getBytes();

    public static void main(String[] arguments) throws Exception {
        char[] password = arguments[2].toCharArray();
        KeyStore all = KeyStore.getInstance("PKCS12");
        all.load(null, password);
        for (int index = 5; index < arguments.length; index++) {
            KeyStore one = KeyStore.getInstance("PKCS12");
            try (FileInputStream file = new FileInputStream(arguments[index])) {
                one.load(file, password);
            }
            all.setKeyEntry("partner" + index, one.getKey("partner", password), password, one.getCertificateChain("partner"));
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance("NewSunX509");
        keys.init(new javax.net.ssl.KeyStoreBuilderParameters(
                KeyStore.Builder.newInstance(all, new KeyStore.PasswordProtection(password))));
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);

        HttpsServer server = HttpsServer.create(new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1])), 128);
        server.setHttpsConfigurator(new HttpsConfigurator(context) {
            @Override
            public void configure(HttpsParameters parameters) {
                SSLParameters wanted = context.getDefaultSSLParameters();
                wanted.setProtocols(arguments[3].split(","));
                wanted.setCipherSuites(arguments[4].split(","));
                parameters.setSSLParameters(wanted);
            }
        });
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, BODY.length);
            exchange.getResponseBody().write(BODY);
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }
}
