// A process that sends requests with a token of a database that other processes use, too.
import { connection } from "../../../../src/connectors/http/index.ts";
import { refreshToken, sqlTokens } from "../../../../src/connectors/http/oauth/index.ts";
import { type Place, openPlace } from "../../../support/shared-database.ts";

const [tokenUrl = "", baseUrl = "", place = ""] = process.argv.slice(2);
const { database, close } = openPlace(JSON.parse(place) as Place);
const store = sqlTokens({ database, name: "erp" });
const auth = refreshToken({ tokenUrl, clientId: "poundlock", clientSecret: "cl1ent-s3cret", store });
const to = connection({ baseUrl, auth });
console.log("ready");
await Promise.all(Array.from({ length: 5 }, () => to.send({ body: 1 })));
await close();
