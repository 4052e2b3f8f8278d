// One scenario with Apache Commons Net.
// usage: java -cp commons-net.jar Scenario.java HOST PORT plain|explicit|implicit passive|active SENT GOT

import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import org.apache.commons.net.ftp.FTP;
import org.apache.commons.net.ftp.FTPClient;
import org.apache.commons.net.ftp.FTPFile;
import org.apache.commons.net.ftp.FTPSClient;
import org.apache.commons.net.util.TrustManagerUtils;

class Scenario {
    public static void main(String[] arguments) throws Exception {
        String host = arguments[0], security = arguments[2], sent = arguments[4], got = arguments[5];
        FTPClient client;
        if (security.equals("plain")) {
            client = new FTPClient();
        } else {
            FTPSClient secure = new FTPSClient(security.equals("implicit"));
            // Whose certificate it is, is not what this is about.
            secure.setTrustManager(TrustManagerUtils.getAcceptAllTrustManager());
            client = secure;
        }
        client.setDataTimeout(Duration.ofSeconds(20));
        client.connect(host, Integer.parseInt(arguments[1]));
        check(client, client.login("demo", "secret"), "login");
        if (client instanceof FTPSClient) {
            ((FTPSClient) client).execPBSZ(0);
            ((FTPSClient) client).execPROT("P");
        }
        if (arguments[3].equals("passive")) {
            client.enterLocalPassiveMode();
        } else {
            client.enterLocalActiveMode();
        }
        check(client, client.setFileType(FTP.BINARY_FILE_TYPE), "type");
        check(client, client.makeDirectory("dir"), "mkdir");
        check(client, client.changeWorkingDirectory("dir"), "cwd");
        try (FileInputStream in = new FileInputStream(sent)) {
            check(client, client.storeFile("file", in), "store");
        }
        FTPFile[] files = client.listFiles();
        check(client, files.length == 1 && files[0].getName().equals("file"), "list " + Arrays.toString(files));
        files = client.mlistDir();
        check(client, files.length == 1 && files[0].isFile(), "mlsd " + Arrays.toString(files));
        check(client, client.rename("file", "renamed"), "rename");
        try (FileOutputStream out = new FileOutputStream(got)) {
            check(client, client.retrieveFile("renamed", out), "retrieve");
        }
        check(client, client.deleteFile("renamed"), "delete");
        check(client, client.changeToParentDirectory() && client.removeDirectory("dir"), "rmdir");
        check(client, client.logout(), "logout");
    }

    private static void check(FTPClient client, boolean done, String what) throws IOException {
        if (!done) {
            throw new IOException(what + ": " + client.getReplyString());
        }
    }
}
