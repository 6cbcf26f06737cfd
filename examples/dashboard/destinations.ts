import { setTimeout as wait } from "node:timers/promises";
import { type Import, type Result } from "poundlock";
import { type Customer, type Order, type Price, type Stock, unavailable } from "./sources.ts";

/** Refuses orders of companies whose VAT number it does not know: for a person to correct. */
export const ledger: Import<Order> = {
  idempotent: true,
  batchSize: 25,
  async write(records) {
    await wait(60);
    return records.map(({ customer }): Result => {
      if (customer.vat !== undefined) return { ok: true };
      const error = Object.assign(new Error(`customer ${customer.id} has no VAT number`), { code: "no_vat_number" });
      return { ok: false, fault: "reject", error };
    });
  },
};

/** Cannot reach some mail servers, now and then. */
export const mailer: Import<Order> = {
  idempotent: false,
  batchSize: 50,
  filter: ({ total }) => total > 150,
  async write(records) {
    await wait(40);
    return records.map(({ id, customer }): Result =>
      Number(id) % 97 === 0
        ? { ok: false, fault: "retry", error: new Error(`${customer.email}: 451 greylisted, try again later`) }
        : { ok: true },
    );
  },
};

/** Is down in every other minute: its import is paused, and goes on by itself. */
export const shop: Import<Stock | Price> = {
  idempotent: true,
  batchSize: 100,
  async write() {
    await wait(80);
    if (new Date().getMinutes() % 2 === 1) throw unavailable("PUT /articles");
  },
};

/** Does not know one of the countries. */
export const crm: Import<Customer> = {
  idempotent: true,
  async write(records) {
    return records.map(({ country }): Result =>
      country === "??"
        ? { ok: false, fault: "reject", error: new Error(`country "${country}" is unknown`) }
        : { ok: true },
    );
  },
};
