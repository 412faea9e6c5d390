// Callers over grpc-js. See tests/app/callers/__init__.py.
import * as grpc from "@grpc/grpc-js";

const orders = JSON.parse(process.argv[2]);
const request = Buffer.from(orders.request, "hex");
const outcomes = {};
let isOver = false;

const clients = Array.from({ length: orders.channels }, () =>
  new grpc.Client("ipv4:" + orders.targets.join(","), grpc.credentials.createInsecure(), {
    "grpc.service_config": JSON.stringify(orders.service_config),
    "grpc.keepalive_time_ms": orders.keepalive_ms,
    "grpc.initial_reconnect_backoff_ms": orders.reconnect_ms,
    "grpc.max_reconnect_backoff_ms": orders.reconnect_ms,
    // A connection of its own for each channel.
    "grpc.use_local_subchannel_pool": 1,
  }),
);

const call = (client) =>
  new Promise((resolve) => {
    const bytes = (message) => message;
    const deadline = Date.now() + orders.timeout_s * 1000;
    const done = (error) => {
      const outcome = error ? `${grpc.status[error.code]}: ${error.details}` : "answered";
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      resolve();
    };
    client.makeUnaryRequest(orders.method, bytes, bytes, request, { deadline }, done);
  });

const callWithoutEnd = async (client) => {
  while (!isOver) await call(client);
};

process.stdin.on("end", () => (isOver = true)).resume();
const each = (client) => Array.from({ length: orders.callers }, () => callWithoutEnd(client));
await Promise.all(clients.flatMap(each));
console.log(JSON.stringify(outcomes));
process.exit(0);
