// A process that sends a request with a token of a file that other processes use, too.
import { connection } from "../../../src/connectors/http/index.ts";
import { refreshToken, tokenFile } from "../../../src/connectors/http/oauth/index.ts";

const [tokenUrl = "", baseUrl = "", file = ""] = process.argv.slice(2);
const auth = refreshToken({ tokenUrl, clientId: "poundlock", clientSecret: "cl1ent-s3cret", store: tokenFile(file) });
const to = connection({ baseUrl, auth });
console.log("ready");
await Promise.all(Array.from({ length: 5 }, () => to.send({ body: 1 })));
