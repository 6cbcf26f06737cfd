import * as poundlock from "poundlock";
import moveOrders from "./move-orders.cjs";

await moveOrders(poundlock, await import("poundlock/testing"));
