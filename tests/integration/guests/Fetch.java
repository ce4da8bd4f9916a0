// SPDX-License-Identifier: MIT
// Fetch url URL | Fetch nio HOST PORT COUNT SEED: the body on standard output, by java.net.URL or by a selector.
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;

public class Fetch {
    static void select(String[] a) throws Exception {
        Selector selector = Selector.open();
        SocketChannel channel = SocketChannel.open();
        channel.configureBlocking(false);
        SelectionKey key = channel.register(selector, SelectionKey.OP_CONNECT);
        boolean there = channel.connect(new InetSocketAddress(a[1], Integer.parseInt(a[2])));
        ByteBuffer buffer = ByteBuffer.allocate(65536);
        java.io.ByteArrayOutputStream all = new java.io.ByteArrayOutputStream();
        while (true) {
            if (there) {
                channel.write(ByteBuffer.wrap(("GET /" + a[3] + "/" + a[4] + " HTTP/1.0\r\n\r\n").getBytes()));
                key.interestOps(SelectionKey.OP_READ);
                there = false;
            }
            if (selector.select(20000) == 0) throw new Exception("no event");
            selector.selectedKeys().clear();
            if (key.isConnectable()) {
                there = channel.finishConnect();
            } else if (key.isReadable()) {
                buffer.clear();
                int n = channel.read(buffer);
                if (n < 0) break;
                all.write(buffer.array(), 0, n);
            }
        }
        byte[] data = all.toByteArray();
        int i = 0;
        while (!(data[i] == 13 && data[i + 1] == 10 && data[i + 2] == 13 && data[i + 3] == 10)) i++;
        System.out.write(data, i + 4, data.length - i - 4);
    }

    public static void main(String[] a) throws Exception {
        if (a[0].equals("nio")) {
            select(a);
        } else {
            try (InputStream in = new URL(a[1]).openStream()) {
                in.transferTo(System.out);
            }
        }
        System.out.flush();
    }
}
